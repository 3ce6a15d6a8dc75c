"""Reading a corpus from folders and manifests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import READERS, Corpus, Skipped, Utterance, check_distinct_names, sorted_corpus
from vczoo.data.manifest import LAYOUT, Listed, composed, list_recordings
from vczoo.data.splits import assign_splits
from vczoo.errors import AudioError, CorpusError, shortened
from vczoo.io.text import truncated_list

__all__ = ["read_corpus"]

Location = str | os.PathLike[str]


def read_corpus(path: Location | Sequence[Location], *, validation: float = 0.1, test: float = 0.1) -> Corpus:
    """Read a folder, a manifest, or several of them together.

    Every recording is decoded once; those that `Waveform.read` refuses are skipped with the reason. The rest is
    split by speaker: utterances are ranked by the SHA-256 of "speaker/relative path", the first of them are for
    validation, the next for test. The outcome depends on neither the order of files nor the machine nor where the
    folder lies, and no speaker's on another's. Splits that a manifest gives stay.

    Args:
        path: a folder, a .csv or .jsonl file, or a list of them.
        validation: share of each speaker's utterances, at least one of them unless 0.
        test: likewise.

    Raises:
        CorpusError: nothing usable, of a speaker or at all; too few utterances of a speaker; names of speakers
            that differ in case or Unicode form alone; a faulty manifest. All of one kind are told together.
    """
    if not (validation >= 0 and test >= 0 and validation + test < 1):  # so that NaN is refused too
        raise CorpusError(
            f"validation and test are shares from 0 on that leave some for training, got {validation} and {test}"
        )
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    listed: list[Listed] = []
    unlisted: list[tuple[Path, str]] = []
    for location in paths:
        listed += list_recordings(Path(os.path.abspath(location)), unlisted)
    if not listed:
        reasons = [f"{path}: {reason}" for path, reason in unlisted]
        nothing = f"no recording in {', '.join(map(str, paths)) or 'an empty list of folders'}; {LAYOUT}"
        raise CorpusError("\n  ".join([nothing, *truncated_list(reasons)]))
    check_distinct_names(item.speaker for item in listed)
    listed = _without_repetition(listed)
    with ThreadPoolExecutor(READERS) as pool:
        outcomes = list(pool.map(_seconds, (item.path for item in listed)))
    seconds: dict[Path, float] = {}
    refused: list[Skipped] = []
    for item, outcome in zip(listed, outcomes, strict=True):
        if isinstance(outcome, Skipped):
            refused.append(outcome)
        else:
            seconds[item.path] = outcome
    usable = [replace(item, speaker=composed(item.speaker)) for item in listed if item.path in seconds]
    silent = {composed(item.speaker) for item in listed} - {item.speaker for item in usable}
    if silent:
        names = ", ".join(map(repr, sorted(silent)))
        of = {item.path for item in listed if composed(item.speaker) in silent}
        reasons = [f"{item.path}: {item.reason}" for item in refused if item.path in of]
        raise CorpusError("\n  ".join([f"no usable recording of {names}:", *truncated_list(reasons)]))
    splits = assign_splits(usable, validation, test)
    utterances = [
        Utterance(item.path, item.speaker, splits[item.path], seconds[item.path], text=item.text, label=item.label)
        for item in usable
    ]
    return sorted_corpus(utterances, (*(Skipped(*item) for item in unlisted), *refused))


def _without_repetition(listed: Sequence[Listed]) -> list[Listed]:
    """Each path once; a split, text or label that one of its listings gives counts."""
    kept: dict[Path, Listed] = {}
    for item in listed:
        known = kept.setdefault(item.path, item)
        for what in ("speaker", "split", "text", "label"):
            first, second = getattr(known, what), getattr(item, what)
            if first and second and first != second:
                raise CorpusError(
                    f"{item.path}: {what} is {shortened(first, 80)!r} ({known.where}) and "
                    f"{shortened(second, 80)!r} ({item.where}); correct one of them"
                )
        text, label = known.text or item.text, known.label or item.label
        kept[item.path] = replace(known, split=known.split or item.split, text=text, label=label)
    return list(kept.values())


def _seconds(path: Path) -> float | Skipped:
    try:
        return Waveform.read(path).seconds
    except AudioError as error:
        return Skipped(path, str(error).removeprefix(f"{path}: "))
