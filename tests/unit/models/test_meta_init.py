"""Outlines: no memory for what a file will give, real values for what none gives, and no more of these than is sane."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from vczoo.errors import ContractError
from vczoo.models.meta_init import MOST_CONSTANTS, init_on_meta, meta_tensors


def test_parameters_are_outlines_and_constants_are_real() -> None:
    with init_on_meta():
        layer, window = nn.Linear(3, 2), torch.hann_window(8)
        nn.init.normal_(layer.weight)
        layer.weight.data.fill_(1.0)
        real = nn.init.ones_(torch.zeros(3))
        assert torch.empty(0).is_meta  # how a plugin tells
    assert meta_tensors(layer) == ["weight", "bias"]
    assert torch.equal(window, torch.hann_window(8))
    assert real.tolist() == [1, 1, 1]


def test_what_is_filled_is_not_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device torch does that in Python, a large part of the time that a load takes."""
    monkeypatch.setattr(nn.init, "_no_grad_normal_", None)
    with init_on_meta():
        weight = torch.empty(2, 2)
        assert nn.init.normal_(weight, std=0.1) is weight


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.arange(5),
        lambda: torch.arange(5, dtype=torch.float64),
        lambda: torch.arange(2, 9, 3),
        lambda: torch.arange(start=9, end=2, step=-2),
        lambda: torch.arange(end=4),
        lambda: torch.arange(0.0, 1.0, 0.3),
        lambda: torch.linspace(0, 1, 7),
        lambda: torch.linspace(0, 1, steps=7),
        lambda: torch.logspace(0, 1, 7),
        lambda: torch.eye(3),
        lambda: torch.eye(3, 4),
        lambda: torch.eye(n=3, m=2),
    ],
)
def test_constants_that_are_counted_by_hand(make, monkeypatch: pytest.MonkeyPatch) -> None:
    constant = make()
    with init_on_meta():
        assert torch.equal(make(), constant)
    monkeypatch.setattr("vczoo.models.meta_init.MOST_CONSTANTS", constant.numel())
    with init_on_meta():
        make()
    monkeypatch.setattr("vczoo.models.meta_init.MOST_CONSTANTS", constant.numel() - 1)
    with init_on_meta(), pytest.raises(ContractError, match=f"constants of {constant.numel()} values"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.arange(0, 1, -1),
        lambda: torch.arange(0, 1, 0),
        lambda: torch.linspace(0, 1, -2),
        lambda: torch.eye(-1),
        lambda: torch.randn(-1),
        lambda: torch.arange(float("inf")),
    ],
)
def test_an_impossible_size_is_a_contract_error(make) -> None:
    with init_on_meta(), pytest.raises(ContractError, match="impossible size"):
        make()


def test_random_tensors_are_outlines_of_the_same_type_and_shape() -> None:
    generator = torch.Generator()
    with init_on_meta():
        for random in (
            torch.rand(2, 3, generator=generator),
            torch.randn((2, 3), dtype=torch.float64),
            torch.rand_like(torch.zeros(2, 3, dtype=torch.float64)),
            torch.nn.functional.normalize(torch.randn(2, 3)),
        ):
            assert random.is_meta
            assert random.shape == (2, 3)
        assert torch.randn(1, dtype=torch.float64).dtype == torch.float64


@pytest.mark.parametrize("archive", [True, False])
def test_files_of_torch_are_read_in_full(tmp_path: Path, archive: bool) -> None:
    torch.save({"a": torch.arange(3.0)}, tmp_path / "a.pt", _use_new_zipfile_serialization=archive)
    with init_on_meta():
        found = torch.load(tmp_path / "a.pt", weights_only=True)
    assert found["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.hann_window(2**40),
        lambda: torch.hann_window(window_length=2**40),
        lambda: torch.zeros(2**20, 2**20),
        lambda: torch.arange(2**40),
    ],
)
def test_a_constant_of_a_terabyte_is_refused(make) -> None:
    with init_on_meta(), pytest.raises(ContractError, match=f"at most {MOST_CONSTANTS} are allowed"):
        make()
