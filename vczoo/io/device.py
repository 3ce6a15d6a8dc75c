"""Choice of the torch device to compute on."""

from __future__ import annotations

import torch

from vczoo.errors import VczooError, first_line

__all__ = ["choose_device"]


def choose_device(device: torch.device | str | None = None) -> torch.device:
    """Return a device that works on this machine.

    Args:
        device: A device or its name, such as cpu, cuda, cuda:1 or mps; None for the first of cuda, mps and cpu that
            this machine has.

    Raises:
        VczooError: There is no such device in torch, or not on this machine.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type == "meta":  # it holds no values, so nothing can be computed on it
        raise VczooError(f"{str(device)!r} is not a device; use cpu, cuda, cuda:1 (the second GPU) or mps")
    if fault := _fault(chosen):
        raise VczooError(
            f"the device {str(device)!r} does not work on this machine ({fault}); use cpu, or leave the device out"
        )
    return chosen


def _fault(device: torch.device) -> str:
    """Why a device does not work; "" if it does. This takes no memory on a GPU."""
    if device.type == "cuda":
        if not torch.cuda.is_available():
            return "torch finds no CUDA GPU"
        count = torch.cuda.device_count()
        return f"the number of GPUs is {count}, counted from cuda:0" if (device.index or 0) >= count else ""
    try:
        torch.zeros(1, device=device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return first_line(error)
    return ""
