"""Outputs that cannot be written: one message at most, no traceback, and the exit status that a shell expects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sound_files import speech_like, wav

COMMAND = (sys.executable, "-m", "vczoo")
FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("show", "base"), ("list",), ("--help",)])
def test_a_full_disk_behind_standard_output_is_one_message(arguments: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == "error: the output cannot be read or written (No space left on device)\n"
    assert done.returncode == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Windows knows no SIGPIPE")
@pytest.mark.parametrize("arguments", [("show", "base"), ("list",)])
def test_a_pipe_whose_reader_has_gone_is_no_error_to_report(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Windows closes no streams")
def test_a_closed_standard_output_is_no_error() -> None:
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m vczoo show base >&-"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "demo", "--data", "none", "--out", "file/run"), "nothing can be written there"),
        (
            ("sweep", "demo", "--grid", "training.epochs=1,2", "--data", "none", "--out", "file/s"),
            "no file can be created there",
        ),
        (("find-rate", "demo", "--data", "none", "--out", "file/x.png"), "no plot can be written there"),
        (("find-rate", "demo", "--data", "none", "--out", "x.jpg"), "choose a name that ends in .png"),
        (("copy", "demo", "file/x.yaml"), "cannot be written"),
        (("train", "demo", "--data", "none", "--out", "run", "--device", "gpu"), "'gpu' is not a device"),
        (("convert", "base", "hello.wav", "--voice", "man-1", "--out", "x.wav", "--device", "gpu"), "'gpu' is not a"),
    ],
)
def test_what_cannot_be_written_or_used_is_reported_before_any_work(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from vczoo.cli.app import main

    (tmp_path / "file").touch()
    (tmp_path / "hello.wav").write_bytes(wav(speech_like(1.0, 16000)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vczoo", *arguments])
    with pytest.raises(SystemExit) as done:
        main()
    captured = capsys.readouterr()
    assert done.value.code == 1
    assert message in captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "hello.wav"]
