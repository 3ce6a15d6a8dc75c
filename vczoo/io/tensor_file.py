"""A safetensors file in, what its header promises out, before a byte of any tensor is read; and tensors in, a file.

The format is safetensors' own (https://github.com/huggingface/safetensors#format): 8 bytes with the header's length,
the header as JSON, then the tensors without a gap.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import save
from torch import Tensor

from vczoo.errors import WeightsError
from vczoo.io.files import open_file, write_bytes

__all__ = [
    "LARGEST_HEADER",
    "Slot",
    "fits_type",
    "halved",
    "layout_faults",
    "layout_of",
    "read_layout",
    "some_names",
    "tensor_bytes",
    "write_tensors",
]

LARGEST_HEADER = 16_000_000  # bytes; 10,000 voices take a quarter of it
METADATA = "__metadata__"
MOST_DIMENSIONS = 16
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
# How a file begins that is something else under this name.
DISGUISES = {
    b"PK\x03\x04": "a zip archive, as torch.save writes, which may run code when it is opened",
    b"\x80": "a pickle, which may run code when it is opened",
    b"version https://git-lfs": "a pointer of Git LFS and not the file itself; `git lfs pull` fetches it",
    b"<": "a page of HTML or XML, perhaps a failed download",
}


@dataclass(frozen=True)
class Slot:
    """What a file, or a model, says of one tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Of its values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"


def layout_of(tensors: Mapping[str, Tensor]) -> dict[str, Slot]:
    """The slots that tensors fill, by name."""
    return {name: Slot(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def read_layout(path: Path) -> dict[str, Slot]:
    """The slots of a safetensors file, by name. Nothing but its header is read.

    Raises:
        WeightsError: the file is absent, cannot be read or is not what its header says: longer, shorter, with gaps, a
            tensor twice, a type that is not known, or something else under this name.
    """
    try:
        with open_file(path) as file:
            return _layout(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _FaultyError as fault:
        raise WeightsError(f"{path}: not a safetensors file ({fault}); download or export it again") from None


def layout_faults(
    given: Mapping[str, Slot],
    wanted: Mapping[str, Slot],
    may_miss: Collection[str] = (),
    *,
    cast: bool = False,
    halved: bool = False,
) -> list[str]:
    """How what is given differs from what is wanted, a sentence each.

    Args:
        given: of a file.
        wanted: of a model.
        may_miss: names that need not be given.
        cast: whether one floating type will do for another, and one of whole numbers for another.
        halved: whether float16 will do for float32, as `halved` makes it.
    """
    faults = []
    if missing := [name for name in wanted if name not in given and name not in may_miss]:
        faults.append(f"missing {some_names(missing)}")
    if extra := [name for name in given if name not in wanted]:
        faults.append(f"not expected {some_names(extra)}")
    faults += [
        f"{name} has shape {slot.shape}, expected {wanted[name].shape}"
        for name, slot in given.items()
        if name in wanted and slot.shape != wanted[name].shape
    ][:8]
    faults += [
        f"{name} has dtype {slot.dtype}, expected {wanted[name].dtype}"
        for name, slot in given.items()
        if name in wanted
        and not (fits_type(slot.dtype, wanted[name].dtype) if halved else slot.dtype == wanted[name].dtype)
        if not cast or slot.dtype.is_floating_point != wanted[name].dtype.is_floating_point
    ][:8]
    return faults


def fits_type(given: torch.dtype, wanted: torch.dtype) -> bool:
    """Whether a type is the one that is wanted, or float16 in place of float32."""
    return given == wanted or (given, wanted) == (torch.float16, torch.float32)


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is float32 as float16, rounded to 11 significant bits, below 6e-5 to multiples of 6e-8; the rest as it is.

    Raises:
        WeightsError: values are beyond those of float16, 65504.
    """
    found = {name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in tensors.items()}
    if beyond := [name for name, half in found.items() if half.is_floating_point() and _overflows(tensors[name], half)]:
        raise WeightsError(
            f"values beyond {torch.finfo(torch.float16).max:g}, float16's largest, in {some_names(beyond)}"
        )
    return found


def some_names(names: Sequence[str], limit: int = 5) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(name if len(name) <= 120 else name[:117] + "..." for name in names[:limit]) + more


def tensor_bytes(tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file of tensors and notes, in memory."""
    # Of no tensors and an empty mapping of notes safetensors 0.8 makes a header that is not JSON.
    return save(dict(tensors), metadata=dict(notes) if notes else None)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in one step.

    Raises:
        OSError: the disk refuses; what was there stays.
    """
    write_bytes(path, tensor_bytes(tensors, notes))


def _overflows(before: Tensor, after: Tensor) -> bool:
    return bool((after.isinf() & ~before.isinf()).any())


class _FaultyError(Exception):
    """What is wrong with a header."""


def _layout(file: BinaryIO, size: int) -> dict[str, Slot]:
    head = file.read(8)
    if len(head) < 8:
        raise _FaultyError(f"{size} bytes are no file of tensors")
    length = int.from_bytes(head, "little")
    if length > size - 8:
        start = head + file.read(24)
        if disguise := next((what for first, what in DISGUISES.items() if start.startswith(first)), ""):
            raise _FaultyError(f"it is {disguise}")
        raise _FaultyError(f"its header is said to have {length} bytes, the file has {size}: cut off, or damaged")
    if length > LARGEST_HEADER:
        raise _FaultyError(f"its header has {length} bytes, at most {LARGEST_HEADER} are read")
    try:
        # As text: of bytes json would guess the encoding, and read UTF-16, too.
        header = json.loads(file.read(length).decode(), object_pairs_hook=_once, parse_int=_count)
    except (ValueError, RecursionError) as error:
        raise _FaultyError(f"its header is not JSON: {str(error)[:200]}") from None
    if not isinstance(header, dict):
        raise _FaultyError("its header is no mapping")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(_is_text(value) for value in metadata.values()):
        raise _FaultyError(f"{METADATA} is no mapping of text to text")
    found = {name: _slot(name, value) for name, value in header.items()}
    _check_gapless(((name, *span) for name, (_, span) in found.items()), size - 8 - length)
    return {name: slot for name, (slot, _) in found.items()}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _FaultyError(f"{_short(key)} stands twice in its header")
        if not key.isascii():
            key.encode()  # half a surrogate pair, which JSON can escape, is no text
        found[key] = value
    return found


def _count(digits: str) -> int:
    """A whole number as safetensors takes it; Python takes -0, too."""
    if digits.startswith("-") or len(digits) > 20:
        raise _FaultyError(f"the number {_short(digits)} is in its header")
    return int(digits)


def _slot(name: str, value: Any) -> tuple[Slot, tuple[int, int]]:
    """One tensor's slot, and where its bytes are."""
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _FaultyError(f"tensor {_short(name)} has not the fields dtype, shape and data_offsets")
    dtype, shape, span = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _FaultyError(f"tensor {_short(name)} is of type {_short(dtype)}; known are {', '.join(DTYPES)}")
    if not _are_counts(shape) or not _are_counts(span) or len(span) != 2 or not _fits_memory(shape):
        raise _FaultyError(f"tensor {_short(name)} has the shape {_short(shape)} at {_short(span)}")
    slot = Slot(DTYPES[dtype], tuple(shape))
    if span[1] - span[0] != slot.size_bytes:
        raise _FaultyError(f"tensor {_short(name)}, {slot}, needs {slot.size_bytes} bytes and has {span[1] - span[0]}")
    return slot, (span[0], span[1])


def _check_gapless(spans: Iterable[tuple[str, int, int]], size: int) -> None:
    reached = 0
    for name, start, end in sorted(spans, key=lambda span: span[1:]):
        if start != reached:
            raise _FaultyError(f"tensor {_short(name)} begins at byte {start}, the one before it ends at {reached}")
        reached = end
    if reached != size:
        raise _FaultyError(f"its tensors have {reached} bytes, the file holds {size}: cut off, or damaged")


def _fits_memory(shape: list[int]) -> bool:
    """Whether no dimension after another makes a tensor of more bytes than there are addresses, one of 0 or not."""
    return len(shape) <= MOST_DIMENSIONS and math.prod(max(1, size) for size in shape) < 2**60


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
