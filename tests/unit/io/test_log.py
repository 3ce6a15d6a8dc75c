"""The logger `vczoo`: events for whoever asks, and silence otherwise."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

import vczoo
from vczoo.io.log import logger


def test_a_loaded_run_and_a_skipped_recording_are_logged(
    made_run: Path, voices_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(voices_folder, tmp_path / "voices"))
    (folder / "bob" / "broken.wav").write_bytes(b"nothing")
    with caplog.at_level(logging.INFO, "vczoo"):
        run = vczoo.load(made_run).run
        vczoo.read_corpus(folder)
    assert any(text.startswith(f"skipped {folder / 'bob' / 'broken.wav'}: ") for text in caplog.messages)
    assert f"loaded run {made_run} ({run.revision}), voices: alice, bob, carol" in caplog.messages
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_the_library_configures_nothing() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
    assert logger.level == logging.NOTSET
    assert logger.propagate
