"""Modules that a command must not import, each in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Each takes longer to import than `load` may take in all, or is only needed for another command.
HEAVY = {
    "accelerate",
    "av",
    "gradio",
    "huggingface_hub",
    "jinja2",
    "matplotlib",
    "scipy",
    "sympy",
    "timm",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "torchaudio",
    "torchvision",
    "transformers",
    "vczoo.training",
}
LOAD = "import vczoo; converter = vczoo.load('base')"


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import vczoo", HEAVY | {"torch", "numpy", "pydantic", "yaml"}),
        (LOAD, HEAVY | {"rich", "typer", "pyworld"}),
        (f"{LOAD}; converter.convert(sys.argv[1], voice=sys.argv[1])", HEAVY | {"rich", "typer"}),
        (
            "from vczoo.cli.app import app; "
            "app(['convert', 'base', sys.argv[1], '--voice', sys.argv[1], '--out', sys.argv[1] + '.wav'], "
            "standalone_mode=False)",
            HEAVY,
        ),
        (
            "import vczoo; vczoo.finetune('demo', sys.argv[2], sys.argv[1] + '.run', sys.argv[3:], progress=False)",
            HEAVY - {"accelerate", "matplotlib", "vczoo.training"},
        ),
    ],
    ids=["import", "load", "convert", "command", "finetune"],
)
def test_only_what_is_needed_is_imported(
    code: str, unwanted: set[str], voices_folder: Path, tmp_path: Path, small: tuple[str, ...]
) -> None:
    report = f"import sys; {code}; print(*sorted(set(sys.modules) & {unwanted!r}), file=sys.stderr)"
    recording = tmp_path / "recording.wav"
    shutil.copy(voices_folder / "alice" / "0.wav", recording)
    command = [sys.executable, "-W", "ignore", "-c", report, str(recording), str(voices_folder), *small]
    process = subprocess.run(command, capture_output=True, text=True)
    assert (process.returncode, process.stderr.split()) == (0, [])
