"""Layout of safetensors files: reading and checking the header before any tensor is read, and writing files.

The format (https://github.com/huggingface/safetensors#format) has 8 bytes with the length of the header, the header as
JSON, and then the tensors without gaps.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import save
from torch import Tensor

from vczoo.errors import WeightsError
from vczoo.io.files import PRIVATE, open_file, write_bytes

__all__ = [
    "LARGEST_HEADER",
    "Slot",
    "checksum",
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
# First bytes of files of other formats that may be saved under the name of a safetensors file.
DISGUISES = {
    b"PK\x03\x04": "a zip archive as written by torch.save, which may run code when it is opened",
    b"\x80": "a pickle, which may run code when it is opened",
    b"version https://git-lfs": "a Git LFS pointer instead of the file itself; `git lfs pull` downloads it",
    b"<": "an HTML or XML page, perhaps from a failed download",
}


@dataclass(frozen=True)
class Slot:
    """The data type and shape of one tensor in a file or a model."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the tensor's values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"


def layout_of(tensors: Mapping[str, Tensor]) -> dict[str, Slot]:
    """The data type and shape of each tensor, by name."""
    return {name: Slot(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def read_layout(path: Path) -> dict[str, Slot]:
    """Read the data type and shape of each tensor in a safetensors file, by name. Only the header is read.

    Raises:
        WeightsError: the file is missing or unreadable, is of another format, or does not match its header: its size
            differs, its tensors have gaps, a name appears twice, or a data type is unknown.
    """
    try:
        with open_file(path) as file:
            return _layout(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _FaultyError as fault:
        raise WeightsError(f"{path}: not a safetensors file ({fault}); download or export it again") from None


def layout_faults(
    actual: Mapping[str, Slot],
    expected: Mapping[str, Slot],
    may_miss: Collection[str] = (),
    *,
    cast: bool = False,
    halved: bool = False,
) -> list[str]:
    """The differences between two layouts, one sentence each.

    Args:
        actual: The layout of a file.
        expected: The layout of a model.
        may_miss: Names that may be missing from `actual`.
        cast: Whether to accept any floating type for another, and any other type for another.
        halved: Whether to accept float16 in place of float32, as written by `halved`.
    """
    faults = []
    if missing := [name for name in expected if name not in actual and name not in may_miss]:
        faults.append(f"missing {some_names(missing)}")
    if extra := [name for name in actual if name not in expected]:
        faults.append(f"not expected {some_names(extra)}")
    faults += [
        f"{name} has shape {slot.shape}, expected {expected[name].shape}"
        for name, slot in actual.items()
        if name in expected and slot.shape != expected[name].shape
    ][:8]
    faults += [
        f"{name} has dtype {slot.dtype}, expected {expected[name].dtype}"
        for name, slot in actual.items()
        if name in expected
        and not (fits_type(slot.dtype, expected[name].dtype) if halved else slot.dtype == expected[name].dtype)
        if not cast or slot.dtype.is_floating_point != expected[name].dtype.is_floating_point
    ][:8]
    return faults


def fits_type(actual: torch.dtype, expected: torch.dtype) -> bool:
    """Whether `actual` is `expected`, or float16 in place of float32."""
    return actual == expected or (actual, expected) == (torch.float16, torch.float32)


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert float32 tensors to float16. Other tensors are unchanged.

    Values are rounded to 11 significant bits, and those below 6e-5 to multiples of 6e-8.

    Raises:
        WeightsError: a value is beyond float16's maximum of 65504.
    """
    rounded = {name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in tensors.items()}
    if beyond := [
        name for name, half in rounded.items() if half.is_floating_point() and _overflows(tensors[name], half)
    ]:
        raise WeightsError(
            f"values beyond float16's maximum of {torch.finfo(torch.float16).max:g} in {some_names(beyond)}"
        )
    return rounded


def some_names(names: Sequence[str], limit: int = 5) -> str:
    """The first `limit` names, and the number of further ones."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(name if len(name) <= 120 else name[:117] + "..." for name in names[:limit]) + more


def tensor_bytes(tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file with these tensors, and with `notes` as its metadata.

    Tensors that share memory, such as tied weights, are written under each of their names.
    """
    # Without tensors and with an empty mapping as metadata, safetensors 0.8 writes a header that is not JSON.
    return save(_unshared(tensors), metadata=dict(notes) if notes else None)


def checksum(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """CRC-32 over the names, dtypes, shapes and values of tensors on the CPU, and over a text: eight hex digits.

    It finds bits that a disk has changed, not what somebody has changed on purpose.
    """
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        value = zlib.crc32(f"{name}\n{tensor.dtype} {tuple(tensor.shape)}\n".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file atomically. Only its owner can read it, since weights may hold somebody's voice.

    Raises:
        OSError: the file cannot be written. An existing file is unchanged.
    """
    write_bytes(path, tensor_bytes(tensors, notes), mode=PRIVATE)


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, with copies of those that share memory with another, which safetensors refuses."""
    used: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage and storage in used else tensor
        used.add(storage)
    return separate


def _overflows(before: Tensor, after: Tensor) -> bool:
    return bool((after.isinf() & ~before.isinf()).any())


class _FaultyError(Exception):
    """A fault of a header, described by its message."""


def _layout(file: BinaryIO, size: int) -> dict[str, Slot]:
    prefix = file.read(8)
    if len(prefix) < 8:
        raise _FaultyError(f"it has only {size} bytes")
    length = int.from_bytes(prefix, "little")
    if length > size - 8:
        start = prefix + file.read(24)
        if disguise := next((kind for signature, kind in DISGUISES.items() if start.startswith(signature)), ""):
            raise _FaultyError(f"it is {disguise}")
        raise _FaultyError(
            f"its header should have {length} bytes, but the file has {size}: it is truncated or damaged"
        )
    if length > LARGEST_HEADER:
        raise _FaultyError(f"its header has {length} bytes, but the limit is {LARGEST_HEADER}")
    try:
        # Decoded first: from bytes, json would guess the encoding and accept UTF-16, too.
        header = json.loads(file.read(length).decode(), object_pairs_hook=_unique, parse_int=_count)
    except (ValueError, RecursionError) as error:
        raise _FaultyError(f"its header is not JSON: {str(error)[:200]}") from None
    if not isinstance(header, dict):
        raise _FaultyError("its header is not a mapping")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(_is_text(value) for value in metadata.values()):
        raise _FaultyError(f"{METADATA} is not a mapping of text to text")
    tensors = {name: _slot(name, value) for name, value in header.items()}
    _check_gapless(((name, *span) for name, (_, span) in tensors.items()), size - 8 - length)
    return {name: slot for name, (slot, _) in tensors.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise _FaultyError(f"{_short(key)} appears twice in its header")
        if not key.isascii():
            key.encode()  # fails for half a surrogate pair, which JSON can escape but which is not text
        values[key] = value
    return values


def _count(digits: str) -> int:
    """A whole number as safetensors accepts it. Unlike Python, it rejects -0."""
    if digits.startswith("-") or len(digits) > 20:
        raise _FaultyError(f"its header has the number {_short(digits)}, expected 0 or more with at most 20 digits")
    return int(digits)


def _slot(name: str, value: Any) -> tuple[Slot, tuple[int, int]]:
    """The slot of one tensor, and the start and end of its bytes."""
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _FaultyError(f"tensor {_short(name)} does not have exactly the fields dtype, shape and data_offsets")
    dtype, shape, span = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _FaultyError(f"tensor {_short(name)} has dtype {_short(dtype)}, expected one of {', '.join(DTYPES)}")
    if not _are_counts(shape) or not _are_counts(span) or len(span) != 2 or not _fits_memory(shape):
        raise _FaultyError(
            f"tensor {_short(name)} has an invalid shape or data_offsets: {_short(shape)}, {_short(span)}"
        )
    slot = Slot(DTYPES[dtype], tuple(shape))
    if span[1] - span[0] != slot.size_bytes:
        raise _FaultyError(f"tensor {_short(name)}, {slot}, needs {slot.size_bytes} bytes but has {span[1] - span[0]}")
    return slot, (span[0], span[1])


def _check_gapless(spans: Iterable[tuple[str, int, int]], size: int) -> None:
    previous_end = 0
    for name, start, end in sorted(spans, key=lambda span: span[1:]):
        if start != previous_end:
            raise _FaultyError(
                f"tensor {_short(name)} begins at byte {start}, but the previous one ends at {previous_end}"
            )
        previous_end = end
    if previous_end != size:
        raise _FaultyError(
            f"its tensors need {previous_end} bytes, but the file has {size}: it is truncated or damaged"
        )


def _fits_memory(shape: list[int]) -> bool:
    """Whether the dimensions, with 0 counted as 1, are few enough and their product is below 2**60."""
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
