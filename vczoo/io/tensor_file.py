"""Layout of safetensors files: reading and checking the header before any tensor is read, and writing files.

The format (https://github.com/huggingface/safetensors#format) has 8 bytes with the length of the header, the header as
JSON, and then the tensors without gaps. The library checks all of this; this module refuses what it lets through:
headers of up to 100 MB, names that appear twice, unknown fields, types that torch may lack, and shapes that torch
cannot hold.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vczoo.errors import WeightsError, shortened
from vczoo.io.files import PRIVATE, open_file, write_bytes
from vczoo.io.text import harmless

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
METADATA, FIELDS = "__metadata__", {"dtype", "shape", "data_offsets"}
LONGEST_REASON = 300  # characters of a message of safetensors, which quotes the file
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
            header = _header(file, os.fstat(file.fileno()).st_size)
        with safe_open(path, "np") as tensors:  # "pt" asks for as much memory as the file claims to need
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118  not a mapping
            layout = {name: _slot(name, part.get_dtype(), part.get_shape()) for name, part in slices.items()}
        _check_fields(header)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (_FaultyError, SafetensorError) as fault:
        reason = harmless(shortened(str(fault).removeprefix("Error while deserializing header: "), LONGEST_REASON))
        raise WeightsError(
            f"{path}: not a safetensors file, or a damaged one ({reason}); download or export it again"
        ) from None
    return layout


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
    return ", ".join(shortened(name, 120) for name in names[:limit]) + more


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


def _header(file: BinaryIO, size: int) -> bytes:
    """The bytes of the header, if the file begins as a safetensors file does."""
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
    return file.read(length)


def _slot(name: str, dtype: str, shape: list[int]) -> Slot:
    if dtype not in DTYPES:
        raise _FaultyError(f"tensor {_short(name)} has dtype {dtype}, expected one of {', '.join(DTYPES)}")
    # With 0 counted as 1, since torch multiplies the other dimensions, too.
    if len(shape) > MOST_DIMENSIONS or math.prod(max(1, size) for size in shape) >= 2**60:
        raise _FaultyError(f"tensor {_short(name)} has an invalid shape: {_short(shape)}")
    return Slot(DTYPES[dtype], tuple(shape))


def _check_fields(header: bytes) -> None:
    """Refuse names that appear twice and unknown fields in a header that safetensors has read."""
    try:
        values = json.loads(header, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _FaultyError("it changed while it was being read") from None
    for name, value in values.items():
        if not isinstance(value, dict) or (name != METADATA and set(value) != FIELDS):
            raise _FaultyError(f"{_short(name)} does not have exactly the fields {', '.join(sorted(FIELDS))}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise _FaultyError(f"{_short(key)} appears twice in its header")
        values[key] = value
    return values


def _short(value: Any) -> str:
    return shortened(repr(value), 80)
