"""Several processes train together, on the CPU through gloo; another number of them goes on where they left off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vczoo
from vczoo.cli.launch import launch, launched, leads
from vczoo.errors import RunError, VczooError
from vczoo.training.distributed import DistributedContext

# Dropout draws apart in each process, and so must be away where figures are compared.
STEADY = ("heads.speaker.dropout=0", "heads.voice.dropout=0", "training.epochs=3")

SCRIPT = """
import os, signal, sys
import vczoo, vczoo.cli.launch, vczoo.training.finetune
from vczoo.io.progress import NullProgress

class Interrupt(NullProgress):
    left = int(sys.argv[3])
    def step(self, loss):
        self.left -= 1
        if not self.left and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGINT)

vczoo.training.finetune.NullProgress = Interrupt
try:
    vczoo.finetune("demo", sys.argv[1], sys.argv[2], sys.argv[5:], shard=bool(sys.argv[4]), progress=False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
vczoo.cli.launch.leave(0)
"""


def together(arguments: list[str], processes: int = 2) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)


def train(data: Path, out: Path, settings: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vczoo", "train", "demo", "--data", str(data), "--out", str(out), *options]
    return subprocess.run([*command, "--device", "cpu", *settings], capture_output=True, text=True)


def history(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def assert_alike(one: Path, other: Path, rel: float = 0.05) -> None:
    for first, second in zip(history(one), history(other), strict=True):
        for split in ("train", "validation"):
            for name, value in first[split].items():
                if name != "speaker.accuracy":  # three held-out utterances: one that tips over is a third
                    assert second[split][name] == pytest.approx(value, rel=rel), (first["epoch"], split, name)


@pytest.mark.parametrize(("strategy", "option"), [("full", ""), ("gradual", ""), ("gradual", "--shard")])
def test_one_and_two_processes_give_the_same_figures(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], strategy: str, option: str
) -> None:
    settings = [*small, *STEADY, f"freezing.use={strategy}", *([option] if option else [])]
    for processes in ("1", "2"):
        done = train(voices_folder, tmp_path / processes, settings, "--processes", processes)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("voices alice, bob, carol") == 1
    # A stage that trains normalises each process' items by their own statistics.
    assert_alike(tmp_path / "1", tmp_path / "2", rel=0.05 if strategy == "full" else 0.15)
    assert vczoo.load(tmp_path / "2").voices == ("alice", "bob", "carol")
    alone, shared = (load_file(tmp_path / name / "voices.safetensors") for name in ("1", "2"))
    for name in ("alice", "bob", "carol"):
        key = f"{name}/speaker.embedding"
        assert float(alone[key] @ shared[key]) > (0.95 if strategy == "full" else 0.75)


@pytest.mark.parametrize("strategy", ["adapters", "lora"])
def test_inserted_modules_are_sharded(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], strategy: str
) -> None:
    settings = [*small, *STEADY, f"freezing={{backbone: full, voice: {strategy}}}", "--shard"]
    for processes in ("1", "2"):
        done = train(voices_folder, tmp_path / processes, settings, "--processes", processes)
        assert done.returncode == 0, done.stderr
    assert_alike(tmp_path / "1", tmp_path / "2")
    alone, shared = (load_file(tmp_path / name / "model.safetensors") for name in ("1", "2"))
    assert alone.keys() == shared.keys()
    if strategy == "adapters":
        trained = [name for name in shared if name.endswith("adapter.up")]
        assert trained
        assert all(float(shared[name].abs().max()) > 0 for name in trained), "they start at 0"
    assert vczoo.load(tmp_path / "2").voices == ("alice", "bob", "carol")


@pytest.mark.parametrize("shard", ["", "shard"])
def test_a_checkpoint_is_gone_on_with_by_another_number_of_processes(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], shard: str
) -> None:
    settings = [*small, *STEADY, "freezing.use=full"]  # BatchNorm would take each process' own items
    vczoo.finetune("demo", voices_folder, tmp_path / "whole", settings, progress=False)
    (tmp_path / "script.py").write_text(SCRIPT)
    cut = tmp_path / "cut"
    done = together([str(tmp_path / "script.py"), str(voices_folder), str(cut), "6", shard, *settings])
    assert done.stdout.count("interrupted") == 2, done.stderr
    assert (cut / "checkpoint.safetensors").is_file()
    vczoo.finetune("demo", voices_folder, cut, settings, resume=True, progress=False)
    assert_alike(tmp_path / "whole", cut)


LEVEL = """
import torch
import vczoo.cli.launch
from vczoo.training.distributed import DistributedContext
team = DistributedContext(torch.device("cpu"))
tensors = [torch.full((2,), float(team.rank + 1)), torch.tensor(team.rank + 1), torch.tensor([bool(team.rank)])]
team.level(tensors)
print([tensor.tolist() for tensor in tensors], flush=True)
vczoo.cli.launch.leave(0)
"""


def test_running_statistics_are_made_the_leaders(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(LEVEL)
    done = together([str(tmp_path / "script.py")])
    assert done.stdout.count("[[1.0, 1.0], 1, [") == 2, done.stderr


def test_ctrl_c_reaches_every_process_and_says_how_to_go_on(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "vczoo", "train", "demo", "--data", str(voices_folder), "--out", str(out)]
    settings = [*small, "training.epochs=5000", "--processes", "2", "--device", "cpu"]
    with subprocess.Popen([*command, *settings], stderr=subprocess.PIPE, text=True) as process:
        while not (out / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()  # which ends when the last of them has closed its end
    assert process.returncode == 130
    assert told.count("--resume to continue from") == 1
    assert "Traceback" not in told
    assert (out / "checkpoint.safetensors").is_file()


def test_a_crash_of_a_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\nif os.environ.get('RANK') == '1':\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert launch(["list", "vgg16*"], 2, "cpu") == 1
    assert "process 1 ended with status -9" in capfd.readouterr().err


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(VczooError, match="2 processes needs a GPU, but there are only 1; use fewer --processes"):
        launch(["list"], 2, None)


def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(VczooError, match="fp16 is for a GPU; on a CPU choose float32 or bf16"):
        DistributedContext(torch.device("cpu"), "fp16")


def test_a_mistake_is_told_once_and_nobody_hangs(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    done = train(voices_folder, tmp_path / "there", [*small], "--processes", "2")
    assert done.returncode == 1
    assert done.stderr.count("exists and is not empty") >= 1
    assert "Traceback" not in done.stderr


def test_a_team_of_one_does_everything_itself() -> None:
    team = DistributedContext(torch.device("cpu"))
    assert (team.rank, team.processes, team.is_main_process, team.device.type) == (0, 1, True, "cpu")
    assert team.on_main_process(lambda: 3) == 3
    assert team.anybody(True)
    assert not team.anybody(False)
    assert team.everything([1]) == [1]
    with pytest.raises(RunError, match="no"):
        team.on_main_process(lambda: (_ for _ in ()).throw(RunError("no")))


def test_half_precision_trains_to_about_the_same(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    for precision in ("float32", "bf16"):
        settings = [*small, *STEADY, f"training.precision={precision}"]
        vczoo.finetune("demo", voices_folder, tmp_path / precision, settings, progress=False)
    for one, other in zip(history(tmp_path / "float32"), history(tmp_path / "bf16"), strict=True):
        assert other["train"]["loss"] != one["train"]["loss"]
        assert other["train"]["loss"] == pytest.approx(one["train"]["loss"], rel=0.1)
    assert {value.dtype for value in load_file(tmp_path / "bf16" / "model.safetensors").values()} <= {
        torch.float32,
        torch.int64,
    }


def test_who_is_launched_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not launched()
    assert leads()
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RANK", "1")
    assert launched()
    assert not leads()


def test_a_launch_gives_the_exit_status_of_the_command() -> None:
    assert launch(["list", "vgg16*"], 2, "cpu") == 0
    assert launch(["list", "no such recipe"], 2, "cpu") != 0
