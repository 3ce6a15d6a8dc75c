"""A device that does not work is refused with the reason, before anything is computed."""

from __future__ import annotations

import pytest
import torch

from vczoo.errors import VczooError
from vczoo.io.device import choose_device


def test_the_cpu_works_and_is_the_default_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device() == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device() == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta"])
def test_a_name_of_no_device(name: str) -> None:
    with pytest.raises(VczooError, match=f"'{name}' is not a device; use cpu, cuda, cuda:1"):
        choose_device(name)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(VczooError, match=r"'cuda' does not work on this machine .torch finds no CUDA GPU.; use cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(VczooError, match=r"'cuda:2' does not work .* number of GPUs is 2, counted from cuda:0"):
        choose_device("cuda:2")


def test_a_device_that_this_torch_was_not_built_for() -> None:
    with pytest.raises(VczooError, match="'xla' does not work on this machine"):
        choose_device("xla")
