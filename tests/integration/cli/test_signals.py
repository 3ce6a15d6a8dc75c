"""Signals that end a command: it removes what it had begun, as after Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vczoo.audio.waveform import Waveform

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a signal")


def convert_long(tmp_path: Path, voices_folder: Path, run: Path) -> subprocess.Popen[str]:
    """Start to convert a recording that takes long, and wait until a part of it is written."""
    wave = Waveform.read(voices_folder / "alice" / "0.wav")
    Waveform.of(wave.samples[0].repeat(64), wave.sample_rate_hz).save(tmp_path / "long.wav")
    source, out = str(tmp_path / "long.wav"), str(tmp_path / "out" / "x.wav")
    arguments = ["convert", str(run), source, "--voice", "bob", "--out", out]
    process = subprocess.Popen([sys.executable, "-m", "vczoo", *arguments], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("out/.*.partial")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_removes_what_was_begun(
    tmp_path: Path, voices_folder: Path, trained_folder: Path, number: signal.Signals
) -> None:
    with convert_long(tmp_path, voices_folder, trained_folder) as process:
        for _ in range(2):  # as `timeout` does
            process.send_signal(number)
        assert process.wait() == 128 + number
        assert process.communicate()[1] == ""
    assert os.listdir(tmp_path / "out") == []


def test_the_next_conversion_removes_what_a_kill_left(
    tmp_path: Path, voices_folder: Path, trained_folder: Path
) -> None:
    with convert_long(tmp_path, voices_folder, trained_folder) as process:
        process.kill()
    (left,) = os.listdir(tmp_path / "out")
    assert left.endswith(".partial")
    recordings = [str(voices_folder / "alice" / name) for name in ("0.wav", "1.wav")]
    command = [sys.executable, "-m", "vczoo", "convert", str(trained_folder), *recordings, "--voice", "bob", "--out"]
    subprocess.run([*command, f"{tmp_path / 'out'}/"], check=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["0.wav", "1.wav"]
