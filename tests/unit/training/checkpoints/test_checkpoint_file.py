"""Checkpoint files: what was written comes back, and a changed bit is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vczoo.errors import RunError
from vczoo.io.temporary import temporary_name
from vczoo.io.tensor_file import checksum
from vczoo.training.checkpoints.checkpoint_file import read_checkpoint, write_checkpoint

STATE = {"epoch": 3, "seconds": 0.1}
TENSORS = {"a": torch.arange(100.0), "b": torch.tensor(1), "c": torch.zeros(0, 3), "d": torch.ones(3).bfloat16()}


def test_the_state_and_the_tensors_come_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, STATE, TENSORS)
    state, tensors = read_checkpoint(path)
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_changed_bit_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, STATE, TENSORS)
    content = path.read_bytes()
    refusals = 0
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            state, tensors = read_checkpoint(path)
        except RunError:
            refusals += 1
        else:  # a space between two entries of the header, or the like
            assert state == STATE
            assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert refusals > 50
    path.write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    with pytest.raises(
        RunError, match=r"checkpoint\.safetensors: this checkpoint is damaged \(its contents do not fit"
    ):
        read_checkpoint(path)


@pytest.mark.parametrize("with_checksum", [True, False])
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ('{"identity": {}, "epoch": 3, "best_epoch": 2}', "fine-tuning"),
        ('{"identity": "5f", "step": 3, "counts": {}, "baseline": {}}', "vocoder training"),
    ],
)
def test_a_checkpoint_of_an_earlier_version_says_so(tmp_path: Path, state: str, kind: str, with_checksum: bool) -> None:
    path = tmp_path / "checkpoint.safetensors"
    notes = {"state": state} | ({"checksum": checksum(TENSORS, state)} if with_checksum else {})
    save_file(TENSORS, path, metadata=notes)
    text = rf"a vczoo of before December 2026 wrote this checkpoint \(format 1, {kind}\), and this vczoo \S+ reads "
    with pytest.raises(RunError, match=text + r"format 2 only\. Finish the training with the vczoo that began it, or"):
        read_checkpoint(path)


def test_a_checkpoint_of_a_later_version_says_so(tmp_path: Path) -> None:
    path, state = tmp_path / "checkpoint.safetensors", '{"format": 3, "version": "1.2.0", "epoch": 3}'
    save_file(TENSORS, path, metadata={"state": state, "checksum": checksum(TENSORS, state)})
    with pytest.raises(RunError, match=r"vczoo 1\.2\.0 wrote this checkpoint \(format 3\).*Install that version"):
        read_checkpoint(path)


def test_a_full_disk_is_told_and_what_killed_processes_left_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    machine, process, start, number = temporary_name(".checkpoint").split("-")[1:]
    left = tmp_path / f".checkpoint-{machine}-{process}-{int(start) + 1}-{number}.partial"
    left.touch()
    write_checkpoint(path, STATE, TENSORS)
    before = path.read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vczoo.training.checkpoints.checkpoint_file.write_bytes", refuse)
    with pytest.raises(RunError, match=r"cannot be written .*No space.*; free some space and resume"):
        write_checkpoint(path, {}, TENSORS)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
