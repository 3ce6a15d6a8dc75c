"""What tests of bad input share: hostile values, a nested value with one place changed, what a folder holds."""

from __future__ import annotations

import copy
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from safetensors import safe_open
from torch import Tensor

from vczoo.errors import VczooError
from vczoo.io.tensor_file import DTYPES, read_layout
from vczoo.io.tensors import read_tensors

PATHS = (
    "/etc/passwd",
    "../../x.safetensors",
    "//host/share/x",
    "~/.ssh/id_rsa",
    "C:\\x",
    "owner/name",
    "http://[::1]:9/x",
)
NUMBERS = (10**12, 10**6, 2**63, 10**30, -1, 0, 3000, 40_000, float("nan"), float("inf"), -float("inf"), 1e300)
NAMES = (
    *("", "..", "a/b", "a\\b", "x\ny", "x\0y", "\u202eevil", "\x1b[2J", "\ufeff", "\U000e0041", " ", "n" * 1000),
    *(
        "os.system",
        "vczoo.cli.app:main",
        "__class__",
        "_modules",
        "null",
        "1",
        "on",
        "=",
        "<<",
        "*x",
        "&x",
        "!!python/name:os.system",
    ),
)


EXAMPLES_VARIABLE = "VCZOO_EXAMPLES"  # how often to try, in place of each test's own number


def examples(number: int) -> int:
    """How many examples a test of arbitrary input tries: its own number, or that of `VCZOO_EXAMPLES`."""
    return int(os.environ.get(EXAMPLES_VARIABLE) or number)


DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # which needs a sixth of the time


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: tuple[Any, ...] = (
    *PATHS,
    *NUMBERS,
    *NAMES,
    *(
        None,
        True,
        [],
        {},
        [1] * 2000,
        [10**12],
        ["x", "x"],
        {"a": {"b": 1}},
        {"use": "os.system"},
        nested(45),
        nested(60),
    ),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a nested value anything stands, the value itself not among them."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for key, inner in pairs for place in ((*at, key), *places(inner, (*at, key)))]


def changed(value: Any, place: tuple[Any, ...], how: str, what: Any) -> Any:
    """A copy in which one place is replaced by `what`, removed, or, in a mapping, called or doubled by that name."""
    value = copy.deepcopy(value)
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    key = place[-1]
    if how == "replace":
        holder[key] = what
    elif how == "remove":
        del holder[key]
    elif isinstance(holder, dict):
        old = dict(holder)
        holder.clear()
        for name, inner in old.items():
            holder[str(what) if name == key and how == "rename" else name] = inner
        if how == "add":
            holder[str(what)] = old[key]
    return value


def as_yaml(value: Any) -> str:
    return str(yaml.dump(value, Dumper=DUMPER, allow_unicode=True, sort_keys=False))


def tensor_file(header: Any, body: bytes = b"") -> bytes:
    """A safetensors file of this header, be it what it may."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + body


def listing(*folders: Path) -> set[tuple[str, int]]:
    """Everything that folders hold, with when it was last changed."""
    return {(str(path), path.lstat().st_mtime_ns) for folder in folders for path in folder.rglob("*")}


def outcome(action: Callable[[], Any]) -> str:
    """ "" where it succeeds; the message where it ends in an error of ours. Any other error goes through."""
    try:
        action()
    except VczooError as error:
        return str(error)
    return ""


def check_agreement(path: Path) -> None:
    """An error of ours, or what safetensors itself says of a file."""
    layout = {}
    if outcome(lambda: layout.update(read_layout(path))):
        return
    with safe_open(path, "pt") as opened:
        found = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  it is no mapping
        theirs = {name: (DTYPES[part.get_dtype()], tuple(part.get_shape())) for name, part in found.items()}
    assert theirs == {name: (slot.dtype, slot.shape) for name, slot in layout.items()}
    tensors: dict[str, Tensor] = {}
    told = outcome(lambda: tensors.update(read_tensors(path)))
    assert "NaN or infinity" in told or set(tensors) == set(theirs)
