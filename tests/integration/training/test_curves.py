"""The picture of a fine-tune: what is in it, which epoch is marked, and that training does not depend on it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import vczoo
from vczoo.io.progress import NullProgress
from vczoo.training.curves import CURVES

PNG = b"\x89PNG"


def test_a_finished_run_has_its_curves(trained_folder: Path) -> None:
    assert (trained_folder / CURVES).read_bytes().startswith(PNG)
    assert not list(trained_folder.glob(".*partial"))


def test_an_interrupted_run_has_them_too(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:

    class Press(NullProgress):
        def epoch(self, record: dict[str, Any]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("vczoo.training.finetune.NullProgress", Press)
    with pytest.raises(KeyboardInterrupt):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", small, progress=False)
    assert (tmp_path / "run" / CURVES).read_bytes().startswith(PNG)
    assert not (tmp_path / "run" / "vczoo.yaml").exists()
