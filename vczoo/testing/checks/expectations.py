"""Promises: what was expected and what was got go in; nothing out, or a `ContractError` that says what is broken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError

__all__ = [
    "expect",
    "expect_bits",
    "expect_gradients",
    "expect_kind",
    "expect_same",
    "expect_shape",
    "noise",
    "padded_with_nan",
    "truncated_list",
]

CLOSE = 1e-4  # of the largest value: what another order of a sum may change


def expect(holds: bool, promise: str) -> None:
    """Raise unless a promise holds."""
    if not holds:
        raise ContractError(promise)


def expect_kind(value: Any, wanted: Any, what: str) -> None:
    """A value must be of this class, or of one of these."""
    expected = getattr(wanted, "__name__", str(wanted))
    expect(isinstance(value, wanted), f"{what} is a {expected}, got {type(value).__name__}")


def expect_shape(tensor: Tensor, shape: tuple[int, ...], promise: str) -> None:
    """A tensor must have this shape."""
    expect(tuple(tensor.shape) == shape, f"{promise}: {shape} was expected, got {tuple(tensor.shape)}")


def expect_same(first: Tensor, second: Tensor, promise: str, close: float = CLOSE) -> None:
    """Two tensors must be of one shape and equal but for rounding."""
    expect_shape(first, tuple(second.shape), promise)
    if first.numel():
        apart = float((first - second).abs().max()) / max(1e-3, float(second.abs().max()))
        expect(apart <= close, f"{promise}: they are {apart:.2g} of the largest value apart, at most {close} is meant")


def expect_bits(first: Mapping[str, Tensor], second: Mapping[str, Tensor], promise: str) -> None:
    """Tensors of the same names must be the same bytes."""
    expect(
        first.keys() == second.keys(), f"{promise}; their names differ: {truncated_list(first.keys() ^ second.keys())}"
    )
    apart = [name for name, tensor in first.items() if _bytes(tensor) != _bytes(second[name])]
    expect(not apart, f"{promise}; {truncated_list(apart)} differ")


def _bytes(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return tensor.dtype, tensor.shape, values.numpy().tobytes()


def truncated_list(names: Iterable[str]) -> str:
    """The first few names, sorted."""
    return ", ".join(sorted(names)[:5])


def expect_gradients(module: nn.Module, loss: Tensor) -> None:
    """Run backward; every parameter that needs a gradient must get one that is finite."""
    expect(loss.requires_grad or not any(True for _ in module.parameters()), "gradients reach the parameters")
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.requires_grad}
    dead = [name for name, found in gradients.items() if found is None or not bool(found.isfinite().all())]
    expect(not dead, f"a finite gradient reaches every parameter; none reaches {', '.join(dead[:5])}")


def noise(spec: FrameSpec, hops: float, seed: int, dtype: torch.dtype = torch.float32) -> Waveform:
    """One recording of so many hops of this spec, the same for the same seed."""
    samples = max(1, round(hops * spec.hop_length))
    values = torch.rand(1, samples, generator=torch.Generator().manual_seed(seed)) - 0.5
    return Waveform(values.to(dtype), spec.sample_rate_hz, torch.tensor([samples]))


def padded_with_nan(values: Tensor, lengths: tuple[int, ...]) -> Frames:
    """Frames whose padding is NaN: whoever reads it is found out."""
    frames = Frames(values, torch.tensor(lengths))
    return frames.with_values(values.where(frames.mask(), math.nan))
