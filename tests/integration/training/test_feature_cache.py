"""The cache: what is kept comes back; another key, a damaged shard and a full folder are dealt with."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch

from tests.unit.training.features.test_cache import KEY
from vczoo.training.features.cache import Cache


def _fill(folder: Path, process: int) -> None:
    section = Cache(folder, 400_000).section(KEY)
    for index in range(20):
        section.add({f"{process}-{index}": torch.full((100,), float(index)), f"both-{index}": torch.ones(100) * index})
        section.flush()
        section.refresh()
        assert torch.equal(section[f"both-{index}"], torch.ones(100) * index)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(tmp_path, number)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    section = Cache(tmp_path).section(KEY)
    for index in range(20):
        for name in (f"0-{index}", f"1-{index}", f"both-{index}"):
            assert float(section[name][0]) == index
