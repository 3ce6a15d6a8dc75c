"""The picture of a fine-tune: what is in it, which epoch is marked, and that training does not depend on it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import vczoo
from vczoo.io.progress import NullProgress
from vczoo.training.curves import CURVES

PNG = b"\x89PNG"


def test_a_finished_run_has_its_curves(trained_folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert (trained_folder / CURVES).read_bytes().startswith(PNG)
    assert not list(trained_folder.glob(".*partial"))


def test_an_interrupted_run_has_them_too(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")

    class Press(NullProgress):
        def epoch(self, record: dict[str, Any]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("vczoo.training.finetune.NullProgress", Press)
    with pytest.raises(KeyboardInterrupt):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False)
    assert (tmp_path / "run" / CURVES).read_bytes().startswith(PNG)
    assert not (tmp_path / "run" / "vczoo.yaml").exists()


def test_without_matplotlib_training_goes_on_and_says_so_once(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Told(NullProgress):
        def say(self, text: str) -> None:
            said.append(text)

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("vczoo.training.finetune.NullProgress", Told)
    vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False)
    (line,) = [line for line in said if "curves.png" in line]
    assert line.startswith("curves.png is not drawn: a plot needs matplotlib")
    assert line.endswith('pip install "vczoo[eval]"')
    assert (tmp_path / "run" / "vczoo.yaml").is_file()
    assert not (tmp_path / "run" / CURVES).exists()
