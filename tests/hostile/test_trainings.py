"""Trainings that are killed, interrupted, or started twice in one folder: nothing is lost, and no folder is stuck."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import vczoo
from vczoo.errors import RunError
from vczoo.training.training_folder import LOCK

ENDLESS = ("training.epochs=5000", "training.patience=5000")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def without_epochs(settings: tuple[str, ...]) -> list[str]:
    return [setting for setting in settings if not setting.startswith("training.epochs")]


def started(command: str, data: Path, out: Path, *rest: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "vczoo", command, "demo", "--data", str(data), "--out", str(out), "--device", "cpu"]
    return subprocess.Popen([*words, *rest], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_training_that_ends_before_its_first_checkpoint_can_start_again(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], how: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = started("train", voices_folder, out, *small)
    wait_for((out / "manifest.jsonl").is_file, process)
    process.send_signal(how)
    errors = process.communicate()[1]
    if not (out / "checkpoint.safetensors").exists():  # it may have been faster
        assert "--resume" not in errors
        with pytest.raises(RunError, match=r"no checkpoint\.safetensors to resume; start without --resume"):
            vczoo.finetune("demo", voices_folder, out, small, resume=True, progress=False)
        if how == signal.SIGINT:
            assert "interrupted before the first checkpoint; run the same command to start again" in errors
            assert not out.exists()
        vczoo.finetune("demo", voices_folder, out, small, progress=False)
        assert not (out / LOCK).exists()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_folder_that_is_trained_in_is_refused_to_all_others(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], processes: str
) -> None:
    out = tmp_path / "out"
    settings = [*without_epochs(small), *ENDLESS]
    process = started("train", voices_folder, out, "--processes", processes, *settings)
    try:
        wait_for((out / "metrics.jsonl").is_file, process)
        holder = process.pid if processes == "1" else r"\d+"
        refusal = rf"out: another .*training runs here.* \(process {holder} on .+\); wait for it to end, or choose"
        for resume in (False, True):
            with pytest.raises(RunError, match=refusal):
                vczoo.finetune("demo", voices_folder, out, settings, resume=resume, progress=False)
            with pytest.raises(RunError, match=refusal):
                vczoo.train_vocoder("demo", voices_folder, out, resume=resume, progress=False)
        with pytest.raises(RunError, match=refusal):
            vczoo.sweep("demo", voices_folder, out, ["training.seed=1,2"], settings)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        errors = process.communicate()[1]
    assert "run the same command with --resume" in errors
    with pytest.raises(RunError, match="not empty; --resume continues it"):
        vczoo.finetune("demo", voices_folder, out, settings, progress=False)


def processes_of(out: Path) -> dict[int, str]:
    """The running processes that have a folder among their arguments, with those."""
    running = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if str(out) in words and state not in "ZX":
                running[int(entry.name)] = " ".join(words)
    return running


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("victim", "how"), [("command", signal.SIGKILL), ("command", signal.SIGHUP), ("torchrun", signal.SIGKILL)]
)
def test_no_process_of_a_team_outlives_its_command(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], victim: str, how: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = started("train", voices_folder, out, "--processes", "2", *without_epochs(small), *ENDLESS)
    wait_for((out / "metrics.jsonl").is_file, process)
    team = processes_of(out)
    assert len(team) == 4  # the command, torchrun and two workers
    torchrun = next(number for number, words in team.items() if "vczoo.cli.launch" in words)
    os.kill(process.pid if victim == "command" else torchrun, how)
    process.communicate()
    while processes_of(out):
        time.sleep(0.05)
    with pytest.raises(RunError, match="not empty; --resume continues it"):
        vczoo.finetune("demo", voices_folder, out, small, progress=False)
