"""Deterministic train, validation and test splits by utterance, the same on every machine."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from vczoo.data.columns import Split
from vczoo.data.manifest import Listed
from vczoo.errors import CorpusError
from vczoo.io.names import composed
from vczoo.io.text import truncated_list

__all__ = ["assign_splits", "least_count"]


def assign_splits(listed: Sequence[Listed], validation: float, test: float) -> dict[Listed, Split]:
    """Assign a split to every utterance, speaker by speaker. Splits from a manifest are kept.

    A speaker's utterances are ranked by the SHA-256 of "speaker/relative path": the first `validation` of them
    (at least one, unless the share is 0) are for validation, the next `test` for test, the rest for training.

    The utterances of a group get the same split, also if several speakers share the group. A group is ranked by its
    name.

    If a manifest marks every utterance of a speaker for validation or test, that speaker is not trained on.

    Args:
        listed: The utterances of all speakers.
        validation: Share of each speaker's utterances that is for validation.
        test: Share of each speaker's utterances that is for test.

    Returns:
        The split of each utterance.

    Raises:
        CorpusError: A manifest gives two splits to one group; or a speaker would have no utterance left for training.
            The message lists every such speaker and the number needed.
    """
    of_group = _splits_of_groups(listed)
    by_speaker: defaultdict[str, list[Listed]] = defaultdict(list)
    for item in listed:
        by_speaker[item.speaker].append(item)
    splits: dict[Listed, Split] = {}
    shares: dict[Split, float] = {"validation": validation, "test": test}
    faults = []
    for speaker, items in sorted(by_speaker.items()):
        preset = {item: split for item in items if (split := item.split or of_group.get(item.group))}
        units = _units(item for item in items if item not in preset)
        left = {name: _share(share, len(items)) - list(preset.values()).count(name) for name, share in shares.items()}
        trained = "train" in preset.values()
        required = sum(max(0, count) for count in left.values()) + (not trained)
        splits |= preset
        for unit in units:
            name = next((name for name in shares if left[name] > 0), None)
            if name:
                left[name] -= len(unit)
            trained = trained or name is None
            splits |= dict.fromkeys(unit, name or "train")
            if unit[0].group:
                of_group[unit[0].group] = name or "train"
        if units and (not trained or any(count > 0 for count in left.values())):
            faults.append(_too_few(speaker, items, units, preset, required, shares))
    if not faults and "train" not in splits.values():
        faults.append("every recording is marked for validation or test; mark some for train")
    if faults:
        raise CorpusError(
            f"too few utterances to split into train, validation ({validation:g}) and test ({test:g}): "
            + "; ".join(truncated_list(faults))
            + ". Record more, mark the splits in a manifest, or set a share to 0 in vczoo.read_corpus"
        )
    return splits


def least_count(count: int, shares: Iterable[float]) -> int:
    """The smallest number of utterances, `count` or more, that leaves one for training."""
    shares = tuple(shares)
    while count - sum(_share(share, count) for share in shares) < 1:
        count += 1
    return count


def _splits_of_groups(listed: Iterable[Listed]) -> dict[str, Split]:
    """The splits that a manifest gives to groups: one marked utterance decides for its group."""
    first: dict[str, Listed] = {}
    faults = []
    for item in listed:
        if item.group and item.split:
            other = first.setdefault(item.group, item)
            if other.split != item.split:
                faults.append(
                    f"group {item.group!r} is for {other.split} ({other.where}) and for {item.split} ({item.where})"
                )
    if faults:
        raise CorpusError(
            "a group belongs to one split: " + "; ".join(truncated_list(faults)) + ". Correct the splits or the groups"
        )
    return {group: item.split for group, item in first.items() if item.split}


def _units(items: Iterable[Listed]) -> list[list[Listed]]:
    """Utterances that get a split together, ranked: each group, and each utterance that is in no group."""
    units: defaultdict[tuple[bytes, str], list[Listed]] = defaultdict(list)
    for item in items:
        units[_rank(item)].append(item)
    return [units[rank] for rank in sorted(units)]


def _too_few(
    speaker: str,
    items: Sequence[Listed],
    units: Sequence[Sequence[Listed]],
    preset: Mapping[Listed, Split],
    required: int,
    shares: Mapping[Split, float],
) -> str:
    if any(item.group for unit in units for item in unit):
        return f"{speaker!r} has {len(items)} in too few groups ({len(units)} without a split); use smaller groups"
    if preset:
        return f"{speaker!r} has {len(units)} without a split, {required} are needed"
    return f"{speaker!r} has {len(items)}, {least_count(len(items), shares.values())} are needed"


def _share(share: float, count: int) -> int:
    return max(1, round(share * count)) if share else 0


def _rank(item: Listed) -> tuple[bytes, str]:
    if item.group:
        return hashlib.sha256(f"group {item.group}".encode(errors="surrogateescape")).digest(), item.group
    place = "" if item.is_whole else f"#{item.start:.3f}"  # the parts of one file are ranked by where they begin
    name = composed(f"{item.speaker}/{item.rank_by}{place}")
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest(), f"{item.path}{place}{item.channel}"
