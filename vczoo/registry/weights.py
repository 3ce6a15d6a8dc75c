"""Lookup of registered pretrained weights by name, and messages about their download."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import replace

from vczoo.errors import WeightsError
from vczoo.io.log import logger
from vczoo.io.text import nearest
from vczoo.registry.entry import Weights
from vczoo.registry.origin import REVISION

__all__ = ["announce_download", "choose_weights", "describe_source", "is_weights_file", "offline", "unavailable"]

MEGABYTE = 1_000_000
REPOSITORY = re.compile(r"([\w.-]+/)?[\w.-]+")  # name of a Hub repository; some old ones have no owner


def offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids network access."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def is_weights_file(weights: str) -> bool:
    """Whether the option `weights` names a file rather than registered weights."""
    return weights.endswith(".safetensors") or "/" in weights or os.sep in weights


def choose_weights(entry_name: str, weights: str, known: Iterable[Weights]) -> Weights:
    """Find registered weights by name, or by NAME@COMMIT of their Hub repository. "pretrained" means the first ones.

    A given commit replaces the registered one. A registered checksum still applies: another commit may hold the same
    file, but no other file is accepted.

    Args:
        entry_name: Name of the part, for messages.
        weights: The option `weights` of the recipe: NAME, NAME@COMMIT or "pretrained".
        known: The registered weights of the part, the default first.

    Raises:
        WeightsError: no weights have this name (the message lists the valid names), the text after the @ is not a full
            commit, or the weights do not come from a Hub repository and so have no commits.
    """
    by_name = {candidate.name: candidate for candidate in known}
    aliases = {"pretrained": next(iter(by_name.values()))} if by_name else {}
    if match := (aliases | by_name).get(weights):
        return match
    name, at, revision = weights.partition("@")
    if at and (match := (aliases | by_name).get(name)):
        return _at_revision(entry_name, name, match, revision)
    valid = ["random", "a path to a .safetensors file", *aliases, *by_name]
    commit = ", or NAME@COMMIT" if any(REPOSITORY.fullmatch(candidate.source) for candidate in by_name.values()) else ""
    raise WeightsError(
        f"{entry_name}: weights are {weights!r}, expected one of: {', '.join(valid)}{commit}" + nearest(name, valid)
    )


def _at_revision(entry_name: str, name: str, weights: Weights, revision: str) -> Weights:
    if not REPOSITORY.fullmatch(weights.source):
        raise WeightsError(
            f"{entry_name}: weights {name}@{revision}: {weights.source} is not a repository on the Hugging Face Hub "
            f"and has no revisions; write weights: {name}"
        )
    if not REVISION.fullmatch(revision):
        raise WeightsError(
            f"{entry_name}: weights {name}@{revision}: expected a full commit of {weights.source} after the @ (40 "
            f"lowercase hex digits), got {len(revision)} characters. The repository's page on the Hub lists commits "
            "under History"
        )
    return replace(weights, revision=revision)


def announce_download(entry_name: str, weights: Weights) -> None:
    """Write one line to standard error before a download: the name, size and source of the weights.

    Args:
        entry_name: Name of the part that needs the weights.
        weights: The weights that are about to be downloaded.
    """
    logger.info("%s: downloading weights %s from %s", entry_name, weights.name, describe_source(weights))
    sys.stderr.write(
        f"{entry_name}: downloading weights {weights.name} ({_size(weights)}) from {describe_source(weights)}\n"
    )


def unavailable(entry_name: str, weights: Weights, cause: BaseException | str, part: str = "backbone") -> WeightsError:
    """The error for weights that cannot be downloaded. Its message has their size, their source and three ways out.

    Args:
        entry_name: Name of the part that needs the weights.
        weights: The weights that are not available.
        cause: Why they cannot be downloaded.
        part: Key of the part in a recipe, such as "backbone" or "vocoder".
    """
    return WeightsError(
        f"{entry_name}: pretrained weights {weights.name} ({_size(weights)}, {describe_source(weights)}) are not on "
        f"this machine and cannot be downloaded ({cause}). Three ways out:\n"
        "  1. connect to the network, unset HF_HUB_OFFLINE and run this once; the weights then stay in the cache;\n"
        f"  2. use a file of your own: {part}.weights=PATH.safetensors;\n"
        f"  3. do without pretrained weights: {part}.weights=random (the {part} then starts untrained)."
    )


def _size(weights: Weights) -> str:
    return f"{weights.size_bytes / MEGABYTE:.0f} MB" if weights.size_bytes else "size unknown"


def describe_source(weights: Weights) -> str:
    """The URL of registered weights, or their Hub repository and revision, for messages."""
    if "://" in weights.source:
        return weights.source
    revision = f"@{weights.revision}" if weights.revision else ""
    return f"{weights.source}{revision} on the Hugging Face Hub"
