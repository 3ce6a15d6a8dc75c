"""Pretrained weights: a file in, a strictly loaded module out; never guessed, never pickled."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import replace

from vczoo.errors import WeightsError
from vczoo.io.text import nearest
from vczoo.registry.entry import Weights
from vczoo.registry.origin import REVISION

__all__ = ["announce_download", "choose_weights", "is_weights_file", "offline", "unavailable"]

MEGABYTE = 1_000_000
REPOSITORY = re.compile(r"([\w.-]+/)?[\w.-]+")  # of the Hub; some old ones have no owner


def offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def is_weights_file(weights: str) -> bool:
    """Whether the option `weights` names a file rather than registered weights."""
    return weights.endswith(".safetensors") or "/" in weights or os.sep in weights


def choose_weights(entry_name: str, weights: str, known: Iterable[Weights]) -> Weights:
    """Find registered weights by name, or by NAME@COMMIT of their Hub repository; "pretrained" is the first.

    A commit takes the place of the one that is registered. A registered checksum stays: another commit may hold the
    same file, and no other file passes for it.

    Raises:
        WeightsError: no such name, and the message lists the valid ones; or the commit is none, or the weights come
            from elsewhere.
    """
    by_name = {candidate.name: candidate for candidate in known}
    aliases = {"pretrained": next(iter(by_name.values()))} if by_name else {}
    if found := (aliases | by_name).get(weights):
        return found
    name, at, revision = weights.partition("@")
    if at and (found := (aliases | by_name).get(name)):
        return _at_revision(entry_name, name, found, revision)
    valid = ["random", "a path to a .safetensors file", *aliases, *by_name]
    commit = ", or NAME@COMMIT" if any(REPOSITORY.fullmatch(found.source) for found in by_name.values()) else ""
    raise WeightsError(
        f"{entry_name}: weights are {weights!r}, expected one of: {', '.join(valid)}{commit}" + nearest(name, valid)
    )


def _at_revision(entry_name: str, name: str, weights: Weights, revision: str) -> Weights:
    if not REPOSITORY.fullmatch(weights.source):
        raise WeightsError(
            f"{entry_name}: weights {name}@{revision}: {weights.source} is no repository of the Hugging Face Hub, and "
            f"has no revisions; write weights: {name}"
        )
    if not REVISION.fullmatch(revision):
        raise WeightsError(
            f"{entry_name}: weights {name}@{revision}: after the @ a commit of {weights.source} was expected, all 40 "
            f"digits of it in lower case, 0-9 and a-f; got {len(revision)} characters. Its page on the Hub shows it "
            "under History"
        )
    return replace(weights, revision=revision)


def announce_download(entry_name: str, weights: Weights) -> None:
    """Say on standard error what is about to be downloaded, how large it is and from where."""
    sys.stderr.write(
        f"{entry_name}: downloading weights {weights.name} ({_size(weights)}) from {_describe_source(weights)}\n"
    )


def unavailable(entry_name: str, weights: Weights, cause: BaseException | str, part: str = "backbone") -> WeightsError:
    """The error for weights that cannot be had, with their size, their source and the three ways out.

    Args:
        part: where in a recipe the entry stands.
    """
    return WeightsError(
        f"{entry_name}: pretrained weights {weights.name} ({_size(weights)}, {_describe_source(weights)}) are not on "
        f"this machine and cannot be downloaded ({cause}). Three ways out:\n"
        "  1. connect to the network, leave HF_HUB_OFFLINE unset, and run this once: they stay in the cache;\n"
        f"  2. bring them as a file: {part}.weights=PATH.safetensors;\n"
        f"  3. do without: {part}.weights=random (the {part} then has learnt nothing)."
    )


def _size(weights: Weights) -> str:
    return f"{weights.size_bytes / MEGABYTE:.0f} MB" if weights.size_bytes else "size not known"


def _describe_source(weights: Weights) -> str:
    if "://" in weights.source:
        return weights.source
    revision = f"@{weights.revision}" if weights.revision else ""
    return f"{weights.source}{revision} on the Hugging Face Hub"
