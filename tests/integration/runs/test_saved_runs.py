"""Runs that an earlier version saved: they load with the same tensors and give the same outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch

from tests.support.saved_runs import FOLDER, NAMES, outputs, state
from vczoo.io.tensors import read_tensors


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_with_the_same_tensors(name: str) -> None:
    assert state(name) == json.loads((FOLDER / "states.json").read_text())[name]


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_the_same_outputs(name: str) -> None:
    """Other CPUs may add up in another order, so the last bits may differ."""
    expected, actual = read_tensors(FOLDER / f"{name}.safetensors"), outputs(name)
    assert actual.keys() == expected.keys()
    for key, values in expected.items():
        torch.testing.assert_close(
            actual[key], values, rtol=1e-5, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}"
        )
