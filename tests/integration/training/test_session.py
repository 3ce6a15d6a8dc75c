"""A session says what it is doing before there is anything that a progress bar could count."""

from __future__ import annotations

from pathlib import Path

import pytest

from vczoo.training.session import TrainingSession


def test_the_steps_before_the_first_progress_bar_are_logged_in_order(
    tmp_path: Path, voices_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level("INFO", "vczoo"),
        TrainingSession.open("demo", voices_folder, out=tmp_path / "run", cache=False, device="cpu") as session,
    ):
        assert session.state.identity["recordings"] == session.corpus.fingerprint()
    steps = ["decoding the recordings", "building the model", "computing the checksums of the recordings"]
    assert [message for message in caplog.messages if message in steps] == steps
