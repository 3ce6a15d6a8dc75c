"""Kills, two writers and readers of one run: nothing is lost, and whoever reads finds the old run or the new one.

The long versions are in benchmarks/robustness.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vczoo
from vczoo.io.temporary import sweep_partials
from vczoo.runs.run_files import METRICS, MODEL, VOICES, replace_files
from vczoo.runs.run_folder import load_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")

ROOT = Path(__file__).parents[2]
STEPS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.scandir"}
FILES = {"vczoo.yaml", MODEL, VOICES, METRICS, "manifest.jsonl"}


def killed_before_step(number: int, folder: Path, contents: dict[Any, bytes], config: bytes) -> bool:
    """Replace a run's files in a forked process that is killed before a step on the disk; return whether it was."""
    process = os.fork()
    if not process:
        steps = 0

        def count(event: str, arguments: object) -> None:
            nonlocal steps
            if event in STEPS:  # os.kill is an event, too
                steps += 1
                if steps == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            replace_files(folder, contents, config)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != 0


def test_a_kill_at_every_step_leaves_the_old_run_or_the_new_one(
    tmp_path: Path, run_folder: Path, voices_folder: Path
) -> None:
    converter = vczoo.load(run_folder)
    converter.enroll("dora", voices_folder / "alice" / "0.wav")
    converter.run.metrics = {**converter.run.metrics, "epochs": 99}
    new = converter.save(tmp_path / "new", half=True)  # every file differs
    contents = {name: (new / name).read_bytes() for name in (MODEL, VOICES, METRICS)}
    config = (new / "vczoo.yaml").read_bytes()
    names = FILES | {path.name for path in run_folder.iterdir()}
    outcomes = []
    number = 1
    while True:
        folder = Path(shutil.copytree(run_folder, tmp_path / str(number)))
        killed = killed_before_step(number, folder, contents, config)
        run = load_run(folder)
        outcomes.append("dora" in run.voices)
        assert (run.metrics["epochs"] == 99) == outcomes[-1]
        if not killed:
            break
        replace_files(folder, contents, config)
        assert {path.name for path in folder.iterdir()} == names
        assert "dora" in load_run(folder).voices
        number += 1
    assert number > 15
    assert outcomes == sorted(outcomes)  # one commit: before it the old run, after it the new one
    assert len(set(outcomes)) == 2


def counts(module: str, *arguments: str) -> dict[str, int]:
    """Run an attack of the benchmarks on a small scale, and return what it counted."""
    command = [sys.executable, "-m", f"benchmarks.robustness.{module}", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, int] = json.loads(done.stdout)
    return result


def test_runs_that_are_killed_while_they_are_saved() -> None:
    assert counts("kill_save", "--kills", "20")["kills"] == 20


@pytest.mark.skipif(sys.platform != "linux", reason="the processes are found in /proc")
def test_a_conversion_of_a_folder_that_is_killed_with_its_workers() -> None:
    assert counts("kill_convert", "--kills", "3")["kills"] == 3


def test_pushes_and_pulls_that_are_killed() -> None:
    assert counts("kill_push", "--kills", "3")["kills"] == 3


def test_two_enrollments_at_once_and_loads_while_saving() -> None:
    assert counts("two_writers", "--pairs", "3", "--loads", "20")["loads"] == 20


def test_two_conversions_into_one_new_file() -> None:
    assert counts("same_output", "--pairs", "20")["both_succeeded"] == 0


def test_threads_that_share_a_converter() -> None:
    assert counts("threads", "--pairs", "5", "--seconds", "2")["errors"] == 0


def test_a_killed_process_leaves_a_temporary_folder_that_the_next_one_removes(tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom vczoo.io.temporary import temporary_folder\n"
        "with temporary_folder('push') as folder:\n"
        "    (folder / 'voices.safetensors').write_text('private')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert len(list(tmp_path.glob("vczoo-push-*/voices.safetensors"))) == 1
    sweep_partials(tmp_path)
    assert list(tmp_path.iterdir()) == []
