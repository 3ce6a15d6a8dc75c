"""voices.safetensors in, voices out, each with exactly what enrolment would have kept; and back."""

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
PROBES_SECONDS = (2.0, 3.0)
SHOWN = 8
LARGEST_VOICES = 4_000_000_000  # bytes: eleven hours of a kNN reference

Shape = tuple[int | None, ...]  # None where it grows with the recordings, all of a voice's by as much


def voice_tensors(voices: Mapping[str, Voice]) -> dict[str, Tensor]:
    """What is written of voices: `<voice>/<tensor>`."""
    return {
        f"{voice.name}/{key}": tensor
        for voice in voices.values()
        for key, tensor in voice.tensors.items()
        if key != PITCH or bool(tensor.isfinite().all())  # of whispers alone it is NaN, which no file holds
    }


def read_voices(path: Path, names: Sequence[str], model: Model) -> dict[str, Voice]:
    """Read the voices of these names; no tensor is read before all are known to fit.

    Raises:
        WeightsError: the file is damaged, or a voice has not exactly the tensors that this model keeps of one.
    """
    layout = read_layout(path)
    if (size := sum(slot.size_bytes for slot in layout.values())) > LARGEST_VOICES:
        raise WeightsError(f"{path}: {size} bytes of voices, at most {LARGEST_VOICES} are read")
    found: dict[str, dict[str, Slot]] = {name: {} for name in names}
    for key, slot in layout.items():
        name, _, tensor_name = key.rpartition("/")
        if name not in found:
            raise WeightsError(f"{path}: tensor {key[:200]!r} belongs to no voice")
        found[name][tensor_name] = slot
    expected = voice_slots(model) if names else {}
    for name, slots in found.items():
        if faults := _faults(slots, expected):
            raise WeightsError(f"{path}, voice {name!r}: " + "; ".join(faults[:SHOWN]))
    tensors = read_tensors(path, layout)
    kept: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for key, tensor in tensors.items():
        name, _, tensor_name = key.rpartition("/")
        # Out of the mapped file, as a model's tensors are; what was halved is what it was but for rounding.
        kept[name][tensor_name] = tensor.to(expected[tensor_name][0]).clone()
    for own in kept.values():
        if PITCH in expected:
            own.setdefault(PITCH, torch.full((1,), torch.nan))
    return {name: Voice(name, own) for name, own in kept.items()}


@torch.inference_mode()
def voice_slots(model: Model) -> dict[str, tuple[torch.dtype, Shape]]:
    """The type and shape of each tensor that enrolment keeps, found by enrolling two lengths of noise."""
    short, long = (_enrolled(model, seconds) for seconds in PROBES_SECONDS)
    return {
        name: (tensor.dtype, tuple(a if a == b else None for a, b in zip(tensor.shape, long[name].shape, strict=True)))
        for name, tensor in short.items()
    }


def _enrolled(model: Model, seconds: float) -> dict[str, Tensor]:
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
            faults.append(f"{key[:80]} is not expected")
            continue
        dtype, shape = expected[key]
        fits = len(slot.shape) == len(shape) and all(b in (a, None) for a, b in zip(slot.shape, shape, strict=True))
        if not fits or (None in shape and not slot.size_bytes):
            told = str(shape).replace("None", "…")
            faults.append(f"{key} has shape {slot.shape}, expected {told}")
        if not fits_type(slot.dtype, dtype):
            faults.append(f"{key} has dtype {slot.dtype}, expected {dtype}")
    return faults
