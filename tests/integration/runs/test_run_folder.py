"""The run folder: what is written is read back bit by bit, and whatever does not fit is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import vczoo
from vczoo.errors import RunError, VczooError
from vczoo.io.tensors import fingerprint
from vczoo.runs.run_folder import load_run


def test_a_run_stores_only_what_differs_from_its_base(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    fresh = vczoo.load("demo", small).model.backbone
    weights = tmp_path / "base.safetensors"
    save_file(fresh.trunk.state_dict(), weights)  # type: ignore[union-attr]
    overrides = [*small, f"backbone.weights={weights}", "freezing.use=partial", "freezing.trainable_stages=1"]
    converter = vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)
    stored = {name.split(".")[1] for name in load_file(tmp_path / "run" / "model.safetensors") if name[0] == "b"}
    assert stored == {"block1"}  # the stem is the base's
    again = load_run(tmp_path / "run")
    assert fingerprint(again.model.state_dict()) == fingerprint(converter.model.state_dict())

    whole = converter.save(tmp_path / "whole", whole=True)
    stored = {name.split(".")[1] for name in load_file(whole / "model.safetensors") if name[0] == "b"}
    assert stored == {"stem", "block1"}

    other = load_file(weights)
    other["stem.0.weight"][0, 0, 0] += 1e-3
    save_file(other, weights)
    with pytest.raises(RunError, match=r"stages backbone\.stem differ"):
        load_run(tmp_path / "run")
    weights.unlink()
    with pytest.raises(VczooError, match="no such file or folder of weights"):
        load_run(tmp_path / "run")
    assert fingerprint(load_run(whole).model.state_dict()) == fingerprint(converter.model.state_dict())


FULL_DISK = """
import resource, sys
from pathlib import Path
from vczoo.errors import RunError
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_writer import save_run
run = load_run(Path(sys.argv[1]))
next(iter(run.model.heads["voice"].parameters())).data += 1  # a file that is the same is not written again
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # every longer file meets a full disk
try:
    save_run(run, Path(sys.argv[2]))
except RunError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, run_folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in run_folder.iterdir()}
    for target in (tmp_path / "new", run_folder):
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK, str(run_folder), str(target)], capture_output=True, text=True, check=True
        )
        assert "the run cannot be written" in done.stdout
    assert not (tmp_path / "new").exists()
    assert {path.name: path.read_bytes() for path in run_folder.iterdir()} == before
