"""Folder that runs as a Hugging Face Space: the page of `vczoo ui` for anybody, with examples."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import vczoo
from vczoo.audio.espeak import SENTENCES, SYNTHETIC_VOICES, write_corpus
from vczoo.errors import VczooError
from vczoo.hub.name import is_hub_name
from vczoo.io.files import write_text
from vczoo.io.optional_imports import require
from vczoo.io.plain_yaml import dump_plain
from vczoo.io.temporary import temporary_name

__all__ = ["write_space"]

EXAMPLES = 2
README = """---
{front}---

# vczoo

Convert speech to another voice. The page is that of `vczoo ui`; it keeps no recording longer than a visit, and marks
every result as synthetic. Use it for voices that you have the right to use.

The recordings to try are synthetic (espeak-ng).
"""
APP = '''"""Page of vczoo on a Hugging Face Space."""

import os
from pathlib import Path

from vczoo.ui.app import Server

RUNS = {runs!r}
EXAMPLES = sorted(map(str, (Path(__file__).parent / "examples").glob("*.wav")))

if __name__ == "__main__":
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    with Server(RUNS, host="0.0.0.0", port=port, public=True, examples=EXAMPLES) as server:
        print(f"serving at {{server.url}}", flush=True)
        server.wait()
'''
REQUIREMENTS = """--extra-index-url https://download.pytorch.org/whl/cpu
vczoo[ui]=={version}
gradio=={gradio}
"""


def write_space(folder: Path, runs: Sequence[str] = ()) -> Path:
    """Write a folder whose files are those of a Space: README.md with its settings, app.py, requirements.txt, examples.

    Args:
        folder: The folder to create.
        runs: Published runs, owner/name, whose voices visitors can choose besides those of the model in the package.

    Returns:
        The folder.

    Raises:
        VczooError: The folder exists, a run is not a published one, or the disk cannot be written.
        PluginError: The extra `demo`, which speaks the examples, or the extra `ui` is not installed.
    """
    if folder.exists():
        raise VczooError(f"{folder} exists; choose another folder for the Space, or remove it")
    for run in runs:
        if not is_hub_name(str(run)):
            raise VczooError(
                f"{run} is not a published run, owner/name. A Space is public, so its voices need a license and a "
                f"statement of consent: publish the run first (`vczoo push`), then name it here"
            )
    unfinished = folder.parent / temporary_name(f".{folder.name}")
    try:
        _write(unfinished, runs)
        unfinished.rename(folder)
    except OSError as error:
        raise VczooError(f"{folder} cannot be written ({error.strerror or error}); free some space") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _write(folder: Path, runs: Sequence[str]) -> None:
    gradio = require("gradio", "vczoo ui --space", "ui").__version__
    spoken = write_corpus(folder / "spoken", list(SYNTHETIC_VOICES)[:1], SENTENCES[:EXAMPLES])
    (folder / "examples").mkdir()
    for number, file in enumerate(sorted(spoken.rglob("*.wav")), 1):
        file.rename(folder / "examples" / f"sentence-{number}.wav")
    shutil.rmtree(folder / "spoken")
    front = {
        "title": "vczoo",
        "emoji": "🎙️",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "gradio",
        "sdk_version": gradio,
        "python_version": "3.12",
        "app_file": "app.py",
        "license": "apache-2.0",
        "short_description": "Voice conversion with a small model",
    }
    write_text(folder / "README.md", README.format(front=dump_plain(front)))
    write_text(folder / "app.py", APP.format(runs=list(runs)))
    write_text(folder / "requirements.txt", REQUIREMENTS.format(version=vczoo.__version__, gradio=gradio))
