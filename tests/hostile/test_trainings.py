"""Trainings that are killed, interrupted, or started twice in one folder: nothing is lost, and no folder is stuck."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import vczoo
from vczoo.cli import recipes
from vczoo.errors import RunError, VczooError
from vczoo.io import files
from vczoo.training.training_folder import LOCK

ENDLESS = ("training.epochs=5000", "training.patience=5000")
NETWORK = ("vocoder.use=vocos/small-16khz", "vocoder.width=16", "vocoder.blocks=2")
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


@contextmanager
def no_file_above(num_bytes: int) -> Iterator[None]:
    """What a full disk does: writing more to one file is an OSError."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("num_bytes", "file"), [(1000, "manifest.jsonl"), (20_000, "checkpoint.safetensors")])
def test_a_full_disk_ends_a_training_with_an_error_and_without_a_folder(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], num_bytes: int, file: str
) -> None:
    out = tmp_path / "out"
    with no_file_above(num_bytes), pytest.raises(RunError, match=rf"{file}.* cannot be written .*; free some space"):
        vczoo.finetune("demo", voices_folder, out, small, cache=False, progress=False)
    assert not out.exists()


def test_a_disk_that_fills_up_later_loses_no_checkpoint(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files.write_bytes

    def refuse(path: Path, content: bytes, **options: Any) -> None:
        if path.name == "metrics.jsonl":
            raise OSError(errno.ENOSPC, "No space left on device")
        before(path, content, **options)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", refuse)
        with pytest.raises(
            RunError, match=r"metrics\.jsonl cannot be written .No space.*; free some space, then resume"
        ):
            vczoo.finetune("demo", voices_folder, out, small, progress=False)
    vczoo.finetune("demo", voices_folder, out, small, resume=True, progress=False)


def test_other_commands_say_what_cannot_be_written(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    pytest.importorskip("vczoo_vocos")
    with no_file_above(100):
        with pytest.raises(RunError, match=r"recipe\.yaml cannot be written"):
            vczoo.train_vocoder("demo", voices_folder, tmp_path / "vocoder", NETWORK, progress=False)
        with pytest.raises(RunError, match=r"sweep\.json cannot be written"):
            vczoo.sweep("demo", voices_folder, tmp_path / "sweep", ["training.seed=1,2"], small)
        with pytest.raises(VczooError, match=r"mine\.yaml cannot be written"):
            recipes.copy("demo", tmp_path / "mine.yaml")
        with pytest.raises(
            RunError, match=r"rates\.png cannot be written .*; the search found training\.learning_rate="
        ):
            vczoo.find_learning_rate(
                "demo", voices_folder, small, steps=60, out=tmp_path / "rates.png", cache=False, progress=False
            )
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_by_every_training(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    for action in (
        lambda: vczoo.finetune("demo", voices_folder, out, small, progress=False),
        lambda: vczoo.train_vocoder("demo", voices_folder, out, progress=False),
        lambda: vczoo.sweep("demo", voices_folder, out, ["training.seed=1,2"], small),
    ):
        with pytest.raises(RunError, match=r"choose another --out"):
            action()
