"""Assertions and test inputs that the conformance checks share.

The assertions raise `ContractError`. Their `requirement` is the beginning of its message: what the part must do.
"""

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

CLOSE = 1e-4  # relative to the largest value: rounding differences from another order of summation


def expect(holds: bool, message: str) -> None:
    """Raise ContractError with this message unless a condition holds."""
    if not holds:
        raise ContractError(message)


def expect_kind(value: Any, expected: Any, what: str) -> None:
    """Require that a value is an instance of a class, or of one class of a union."""
    name = getattr(expected, "__name__", str(expected))
    expect(isinstance(value, expected), f"{what} must be a {name}, got {type(value).__name__}")


def expect_shape(tensor: Tensor, shape: tuple[int, ...], requirement: str) -> None:
    """Require that a tensor has a shape."""
    expect(tuple(tensor.shape) == shape, f"{requirement}: expected {shape}, got {tuple(tensor.shape)}")


def expect_same(actual: Tensor, expected: Tensor, requirement: str, close: float = CLOSE) -> None:
    """Require that two tensors have the same shape, and values that are equal up to rounding."""
    expect_shape(actual, tuple(expected.shape), requirement)
    if actual.numel():
        difference = float((actual - expected).abs().max()) / max(1e-3, float(expected.abs().max()))
        expect(
            difference <= close,
            f"{requirement}: the difference is {difference:.2g} of the largest value, and at most {close} is allowed",
        )


def expect_bits(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], requirement: str) -> None:
    """Require that two collections of tensors have the same names, and the same bytes under each name."""
    unmatched = actual.keys() ^ expected.keys()
    expect(not unmatched, f"{requirement}; tensors with different names: {truncated_list(unmatched)}")
    differing = [name for name, tensor in actual.items() if _bytes(tensor) != _bytes(expected[name])]
    expect(not differing, f"{requirement}; tensors that differ: {truncated_list(differing)}")


def _bytes(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return tensor.dtype, tensor.shape, values.numpy().tobytes()


def truncated_list(names: Iterable[str]) -> str:
    """Return the first five names in sorted order, separated by commas."""
    return ", ".join(sorted(names)[:5])


def expect_gradients(module: nn.Module, loss: Tensor) -> None:
    """Run backward, and require that every parameter with `requires_grad` gets a finite gradient."""
    expect(
        loss.requires_grad or not any(True for _ in module.parameters()),
        "gradients must reach the parameters, but the output has no gradient",
    )
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.requires_grad}
    dead = [name for name, gradient in gradients.items() if gradient is None or not bool(gradient.isfinite().all())]
    expect(not dead, f"a finite gradient must reach every parameter; none reaches {', '.join(dead[:5])}")


def noise(spec: FrameSpec, hops: float, seed: int, dtype: torch.dtype = torch.float32) -> Waveform:
    """Make one noise recording that is `hops` hops of `spec` long; the same seed gives the same noise."""
    samples = max(1, round(hops * spec.hop_length))
    values = torch.rand(1, samples, generator=torch.Generator().manual_seed(seed)) - 0.5
    return Waveform(values.to(dtype), spec.sample_rate_hz, torch.tensor([samples]))


def padded_with_nan(values: Tensor, lengths: tuple[int, ...]) -> Frames:
    """Make frames whose padding is NaN, so that reading the padding shows in the result."""
    frames = Frames(values, torch.tensor(lengths))
    return frames.with_values(values.where(frames.mask(), math.nan))
