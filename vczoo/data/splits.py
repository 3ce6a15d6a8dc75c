"""Listed recordings in, the split of each out: by utterance, the same on every machine."""

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
    """Choose the split of every recording, speaker by speaker; splits that a manifest gave stay.

    A speaker's recordings are ranked by the SHA-256 of "speaker/relative path": the first `validation` of them
    (at least one, unless the share is 0) are for validation, the next `test` for test, the rest for training.

    A speaker whose every recording a manifest marks for validation or test stays unheard in training.

    Raises:
        CorpusError: nothing would be left for training: every such speaker, with the count that is needed.
    """
    by_speaker: defaultdict[str, list[Listed]] = defaultdict(list)
    for item in listed:
        by_speaker[item.speaker].append(item)
    splits: dict[Path, Split] = {item.path: item.split for item in listed if item.split}
    shares: dict[Split, float] = {"validation": validation, "test": test}
    faults = []
    for speaker, items in sorted(by_speaker.items()):
        free = sorted((item for item in items if item.split is None), key=_rank)
        given = [item.split for item in items]
        held_out: list[Split] = []
        for name, share in shares.items():
            held_out += [name] * (_share(share, len(items)) - given.count(name))
        wanted = len(held_out) + ("train" not in given)
        if free and wanted > len(free) < len(items):
            faults.append(f"{speaker!r} has {len(free)} without a split, {wanted} are needed")
        elif free and wanted > len(free):
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
    """The least count from `count` on that leaves an utterance for training."""
    while count - _share(validation, count) - _share(test, count) < 1:
        count += 1
    return count


def _rank(item: Listed) -> tuple[bytes, str]:
    name = composed(f"{item.speaker}/{item.rank_by}")
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest(), str(item.path)
