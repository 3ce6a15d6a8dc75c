"""Deterministic train, validation and test splits by utterance, the same on every machine."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from vczoo.data.manifest import Listed, Split, composed
from vczoo.errors import CorpusError
from vczoo.io.text import truncated_list

__all__ = ["assign_splits"]


def assign_splits(listed: Sequence[Listed], validation: float, test: float) -> dict[Path, Split]:
    """Assign a split to every recording, speaker by speaker. Splits from a manifest are kept.

    A speaker's recordings are ranked by the SHA-256 of "speaker/relative path": the first `validation` of them
    (at least one, unless the share is 0) are for validation, the next `test` for test, the rest for training.

    If a manifest marks every recording of a speaker for validation or test, that speaker is not trained on.

    Args:
        listed: The recordings of all speakers.
        validation: Share of each speaker's recordings that is for validation.
        test: Share of each speaker's recordings that is for test.

    Returns:
        The split of each recording, by its path.

    Raises:
        CorpusError: A speaker would have no recording left for training. The message lists every such speaker and the
            number of recordings needed.
    """
    by_speaker: defaultdict[str, list[Listed]] = defaultdict(list)
    for item in listed:
        by_speaker[item.speaker].append(item)
    splits: dict[Path, Split] = {item.path: item.split for item in listed if item.split}
    shares: dict[Split, float] = {"validation": validation, "test": test}
    faults = []
    for speaker, items in sorted(by_speaker.items()):
        free = sorted((item for item in items if item.split is None), key=_rank)
        preset = [item.split for item in items]
        held_out: list[Split] = []
        for name, share in shares.items():
            held_out += [name] * (_share(share, len(items)) - preset.count(name))
        required = len(held_out) + ("train" not in preset)
        if free and required > len(free) < len(items):
            faults.append(f"{speaker!r} has {len(free)} without a split, {required} are needed")
        elif free and required > len(free):
            needed = _needed(len(items), validation, test)
            faults.append(f"{speaker!r} has {len(items)}, {needed} are needed")
        for position, item in enumerate(free):
            splits[item.path] = held_out[position] if position < len(held_out) else "train"
    if not faults and "train" not in splits.values():
        faults.append("every recording is marked for validation or test; mark some for train")
    if faults:
        raise CorpusError(
            f"too few utterances to split into train, validation ({validation:g}) and test ({test:g}): "
            + "; ".join(truncated_list(faults))
            + ". Record more, cut long recordings into sentences, or set a share to 0"
        )
    return splits


def _share(share: float, count: int) -> int:
    return max(1, round(share * count)) if share else 0


def _needed(count: int, validation: float, test: float) -> int:
    """The smallest number of utterances, `count` or more, that leaves one for training."""
    while count - _share(validation, count) - _share(test, count) < 1:
        count += 1
    return count


def _rank(item: Listed) -> tuple[bytes, str]:
    name = composed(f"{item.speaker}/{item.rank_by}")
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest(), str(item.path)
