"""Every fenced example of the README and the docs runs, in a folder as the text assumes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import SPEAKERS, synthetic_utterance
from tests.support.hub.server import HubServer
from tests.support.paths import ROOT
from tests.support.warm_cli import warm_cli
from vczoo.models.build import checked_recipe

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").rglob("*.md")) - set(TUTORIALS))]
TITLE = re.compile(r'title="([^"]+)"')  # of a block of a tutorial: the file that it is, or "setup"
BLOCK = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str, note: str = "") -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for name, rest, text in found if name == language and rest.strip() == note]


@pytest.fixture(scope="module")
def commands() -> Iterator[Path]:
    """A folder with a `vczoo` that need not import torch first."""
    with tempfile.TemporaryDirectory() as folder, warm_cli(Path(folder)) as place:  # a socket's path is short
        yield place


@pytest.fixture
def desk(tmp_path: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch, hub: HubServer) -> Path:
    """A folder with the recordings that the examples speak of, and a Hub where they are `me`."""
    shutil.copytree(voices_folder, tmp_path / "voices", ignore=shutil.ignore_patterns("carol"))
    shutil.copytree(voices_folder / "carol", tmp_path / "more-voices" / "carla")
    for name, source in {
        "alice1.wav": "alice/1.wav",
        "alice2.wav": "alice/2.wav",
        "carol1.wav": "carol/1.wav",
        "carol2.wav": "carol/2.wav",
        "who.wav": "alice/3.wav",
        "me.wav": "alice/4.wav",
    }.items():
        shutil.copy(voices_folder / source, tmp_path / name)
    sentences = [synthetic_utterance(number, *SPEAKERS["alice"]) for number in range(30)]
    soundfile.write(tmp_path / "me.wav", np.concatenate(sentences), 16000)
    soundfile.write(tmp_path / "hello.wav", synthetic_utterance(6, *SPEAKERS["bob"]), 16000)  # which is in no folder
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_have_examples_of_known_kinds() -> None:
    found = [block for page in (*PAGES, *TUTORIALS) for block in BLOCK.findall(page.read_text())]
    kinds = {(name, rest.strip()) for name, rest, _ in found if not TITLE.fullmatch(rest.strip())}
    assert kinds <= {("python", ""), ("sh", ""), ("sh", "setup"), ("yaml", ""), ("text", "")}
    assert {("python", ""), ("sh", ""), ("yaml", "")} <= kinds


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
def test_python_examples_run(page: Path, desk: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=desk)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=lambda page: page.stem)
def test_shell_examples_run(page: Path, desk: Path, commands: Path) -> None:
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    for block in blocks(page, "sh"):
        script = f"set -e\n{block}"
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.stem)
def test_recipes_in_the_text_have_no_fault(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "yaml")):
        file = tmp_path / f"example-{number}.yaml"
        file.write_text(text)
        assert checked_recipe(file).name == file.stem


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_from_top_to_bottom(page: Path, desk: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Block by block, as a reader does it: files are written, what is made is installed, the rest runs."""
    site = tmp_path_factory.mktemp("site-packages")
    paths = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(site), *(part for part in sys.path if part)]),
    }
    for language, rest, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        title = TITLE.fullmatch(rest.strip())
        if title and title[1] != "setup":
            (desk / title[1]).write_text(text, encoding="utf-8")
            continue
        if title:
            commands = [install(line, site) for line in text.splitlines() if not is_setup(line)]
        else:
            commands = {"sh": [["bash", "-c", f"set -e\n{text}"]], "python": [[sys.executable, "-c", text]]}.get(
                language, []
            )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **paths})
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def install(line: str, site: Path) -> list[str]:
    """The command that installs what a tutorial has made, into a folder of its own and without the network."""
    folder = line.removeprefix("pip install -e ")
    assert folder != line, f"{line}: a reader of the tutorial cannot do that"
    alone = ["--no-deps", "--no-build-isolation", "--offline", "--python", sys.executable]
    return [sys.executable, "-m", "uv", "pip", "install", *alone, "--target", str(site), f"./{folder}"]


def is_setup(line: str) -> bool:
    """Whether a line sets up what the repository has: an environment, its targets of make, its distributions."""
    if line in ("python3 -m venv .venv", ". .venv/bin/activate"):
        return True
    command, *words = line.split()
    if command == "make":
        return set(words) <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    return [command, *words[:1]] == ["pip", "install"] and all(
        (ROOT / word / "pyproject.toml").is_file() for word in words[1:]
    )


def test_setup_examples_name_what_is_there() -> None:
    lines = [line for page in PAGES for block in blocks(page, "sh", "setup") for line in block.splitlines()]
    assert lines
    assert [line for line in lines if not is_setup(line)] == []


def test_the_table_of_recipes_is_complete() -> None:
    page = (ROOT / "docs" / "which-recipe.md").read_text(encoding="utf-8")
    table = page.partition("\n## All recipes")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))
    listed = {name for cell in named for name in re.findall(r"`([\w-]+)`", cell)}
    assert listed == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
