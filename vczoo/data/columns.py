"""Columns of a manifest: the names that they go by, and the values that they accept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from vczoo.audio.channels import CHANNELS
from vczoo.errors import shortened

__all__ = [
    "CHANNELS",
    "COLUMNS",
    "REQUIRED",
    "SPLITS",
    "Split",
    "column_of",
    "read_annotations",
    "read_seconds",
    "read_split",
    "read_texts",
]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
REQUIRED = ("path", "speaker")
COLUMNS = (
    "a manifest has the columns path, speaker and, optionally, split, group, start, end, channel, text and label, "
    "separated by commas"
)

# `relative_path` is in the manifests that vczoo writes: where the file is, seen from the manifest.
NAMES = (*REQUIRED, "split", "text", "label", "start", "end", "group", "channel", "relative_path")
OTHER_NAMES = {"set": "split", "subset": "split"}
OTHER_SPLITS: Mapping[str, Split] = {
    "training": "train",
    "dev": "validation",
    "development": "validation",
    "val": "validation",
    "valid": "validation",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
NUMBERS = ("start", "end", "group")  # columns that may hold numbers in JSON
SHORTEST_SECONDS = 0.02  # as of a recording


def column_of(name: str) -> str:
    """The column that a name in a header means, in any case; "" if no column goes by that name."""
    lowered = name.strip().lower()
    lowered = OTHER_NAMES.get(lowered, lowered)
    return lowered if lowered in NAMES else ""


def read_texts(row: Mapping[str, Any], faults: list[str]) -> dict[str, str]:
    """The text of every known column of a row, "" if it is empty.

    Args:
        row: The row, by the names in its header.
        faults: Receives a fault for each value that is not text, and for columns of one meaning that disagree.
    """
    texts = dict.fromkeys(NAMES, "")
    sources: dict[str, str] = {}
    for header, value in row.items():
        name = column_of(header)
        if not name or value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(value, str) and not (number and name in NUMBERS):
            faults.append(f"{header} must be text, got {value!r}")
            continue
        text = str(value).strip()
        earlier = texts[name]
        same = read_split(text, []) == read_split(earlier, []) if name == "split" else text == earlier
        if text and earlier and not same:
            faults.append(
                f"{sources[name]} is {shortened(earlier, 60)!r} and {header} is {shortened(text, 60)!r}, but both "
                f"mean the {name}; correct or rename one of them"
            )
        if text:
            texts[name], sources[name] = text, header
    return texts


def read_annotations(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The name and the value of every other column of a row, as text, as far as it has one."""
    return tuple(
        (name.strip(), text)
        for name, value in row.items()
        if isinstance(value, str | int | float) and not column_of(name) and (text := str(value).strip())
    )


def read_split(text: str, faults: list[str]) -> Split | None:
    """The split that a value means, in any case; None if it is empty or a fault.

    dev, val and valid are validation; train-clean-100 and dev-other are LibriSpeech's train and dev.
    """
    lowered = re.split(r"[-_/ ]", text.lower())[0]
    split = next((name for name in SPLITS if name == lowered), None) or OTHER_SPLITS.get(lowered)
    if text and not split:
        faults.append(f"split is {shortened(text, 60)!r}, expected {', '.join(SPLITS)} or nothing")
    return split


def read_seconds(start: str, end: str, faults: list[str]) -> tuple[float, float | None]:
    """Where an utterance begins and ends in its file, in seconds: (0, None) for the whole file.

    Times are rounded to microseconds, so that a manifest that vczoo writes reads back the same.
    """
    times: list[float | None] = []
    for name, text in (("start", start), ("end", end)):
        try:
            time = float(text) if text else None
        except ValueError:
            time = math.nan
        if time is not None and not 0 <= time < math.inf:
            faults.append(
                f"{name} is {shortened(text, 60)!r}, expected seconds from the beginning of the file, as 12.5"
            )
            time = None
        times.append(time if time is None else round(time, 6))
    first, last = times[0] or 0.0, times[1]
    if last is not None and last - first < SHORTEST_SECONDS:
        faults.append(f"it ends at {last:g} s and starts at {first:g} s; at least {SHORTEST_SECONDS:g} s are needed")
    return first, last
