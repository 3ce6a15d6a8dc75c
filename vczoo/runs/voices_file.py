"""Reading and writing of voices.safetensors.

A voice must have exactly the tensors that enrollment in the run's model would store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.errors import WeightsError
from vczoo.io.tensor_file import Slot, fits_type, read_layout
from vczoo.io.tensors import read_tensors
from vczoo.models.model import Model
from vczoo.modules.interfaces.heads import Voice

__all__ = ["LARGEST_VOICES", "read_voices", "voice_slots", "voice_tensors"]

PITCH = "pitch"
PROBES_SECONDS = (2.0, 3.0)  # lengths of the noise that is enrolled to find the shapes
SHOWN = 8  # faults in one message
LARGEST_VOICES = 4_000_000_000  # bytes; enough for eleven hours of a kNN reference

Shape = tuple[
    int | None, ...
]  # None for a length that grows with the recordings; it is the same for all tensors of a voice


def voice_tensors(voices: Mapping[str, Voice]) -> dict[str, Tensor]:
    """Return the tensors to store for some voices, by `<voice>/<tensor>`."""
    return {
        f"{voice.name}/{key}": tensor
        for voice in voices.values()
        for key, tensor in voice.tensors.items()
        if key != PITCH
        or bool(tensor.isfinite().all())  # NaN if every recording is whispered; the file may not hold NaN
    }


def read_voices(path: Path, names: Sequence[str], model: Model) -> dict[str, Voice]:
    """Read the voices of a run. Names, types and shapes are checked before any tensor is read.

    Args:
        path: The voices.safetensors of the run.
        names: Names of the voices that it must hold.
        model: The model of the run, which decides the tensors of a voice.

    Raises:
        WeightsError: The file is damaged or too large, holds another voice, or a voice has missing, unexpected or
            misshapen tensors.
    """
    layout = read_layout(path)
    if (size := sum(slot.size_bytes for slot in layout.values())) > LARGEST_VOICES:
        raise WeightsError(f"{path}: the voices take {size} bytes; vczoo reads at most {LARGEST_VOICES}")
    slots_by_voice: dict[str, dict[str, Slot]] = {name: {} for name in names}
    for key, slot in layout.items():
        name, _, tensor_name = key.rpartition("/")
        if name not in slots_by_voice:
            raise WeightsError(f"{path}: tensor {key[:200]!r} belongs to none of the run's voices")
        slots_by_voice[name][tensor_name] = slot
    expected = voice_slots(model) if names else {}
    for name, slots in slots_by_voice.items():
        if faults := _faults(slots, expected):
            raise WeightsError(f"{path}, voice {name!r}: " + "; ".join(faults[:SHOWN]))
    tensors = read_tensors(path, layout)
    tensors_by_voice: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for key, tensor in tensors.items():
        name, _, tensor_name = key.rpartition("/")
        # The clone does not depend on the mapped file. float16 becomes float32 again.
        tensors_by_voice[name][tensor_name] = tensor.to(expected[tensor_name][0]).clone()
    for voice_values in tensors_by_voice.values():
        if PITCH in expected:
            voice_values.setdefault(PITCH, torch.full((1,), torch.nan))
    return {name: Voice(name, voice_values) for name, voice_values in tensors_by_voice.items()}


@torch.inference_mode()
def voice_slots(model: Model) -> dict[str, tuple[torch.dtype, Shape]]:
    """Return the type and shape of each tensor that enrollment stores, by enrolling noise of two lengths."""
    short, long = (_enroll_noise(model, seconds) for seconds in PROBES_SECONDS)
    return {
        name: (tensor.dtype, tuple(a if a == b else None for a, b in zip(tensor.shape, long[name].shape, strict=True)))
        for name, tensor in short.items()
    }


def _enroll_noise(model: Model, seconds: float) -> dict[str, Tensor]:
    content = _noise(round(seconds * model.backbone.spec.frame_rate_hz), model.backbone.spec.channels)
    if not model.vocoder or not model.reads_mels:
        return model.voice_of([content], [], [])
    spec = model.vocoder.accepts
    count = round(seconds * spec.frame_rate_hz)
    return model.voice_of([content], [_noise(count, spec.channels)], [_noise(count, 2)])


def _noise(frames: int, channels: int) -> Frames:
    return Frames.of(torch.rand((frames, channels), generator=torch.Generator().manual_seed(0)))


def _faults(slots: Mapping[str, Slot], expected: Mapping[str, tuple[torch.dtype, Shape]]) -> list[str]:
    faults = [f"missing {key}" for key in expected if key not in slots and key != PITCH]
    for key, slot in slots.items():
        if key not in expected:
            faults.append(f"unexpected {key[:80]}")
            continue
        dtype, shape = expected[key]
        fits = len(slot.shape) == len(shape) and all(b in (a, None) for a, b in zip(slot.shape, shape, strict=True))
        if not fits or (None in shape and not slot.size_bytes):
            expected_shape = str(shape).replace("None", "…")
            faults.append(f"{key} has shape {slot.shape}, expected {expected_shape}")
        if not fits_type(slot.dtype, dtype):
            faults.append(f"{key} has dtype {slot.dtype}, expected {dtype}")
    return faults
