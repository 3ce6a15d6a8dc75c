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

    Every recording is decoded once. Recordings that `Waveform.read` refuses are skipped, and the reason is reported.

    The other recordings are split speaker by speaker. A speaker's utterances are ranked by the SHA-256 of
    "speaker/relative path"; the first ones are for validation, the next ones for test, the rest for training. So the
    split of a speaker depends on neither the order of the files, the machine, the location of the folder, nor the other
    speakers. Splits in a manifest are kept.

    Args:
        path: A folder, a .csv or .jsonl manifest, or a list of them.
        validation: Share of each speaker's utterances that is for validation. At least one utterance, unless 0.
        test: Share of each speaker's utterances that is for test. At least one utterance, unless 0.

    Returns:
        The corpus: its usable utterances, and the skipped recordings with reasons.

    Raises:
        CorpusError: No recording is usable, or none of some speaker; a speaker has too few utterances; names of
            speakers differ only in case or Unicode form; or a manifest has faults. The message lists all faults of a
            kind.
    """
    if not (validation >= 0 and test >= 0 and validation + test < 1):  # written this way to refuse NaN, too
        raise CorpusError(
            f"validation and test must be shares of at least 0 with a sum below 1, got {validation} and {test}"
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
    """List each path once, with the split, text and label that any of its listings has."""
    by_path: dict[Path, Listed] = {}
    for item in listed:
        earlier = by_path.setdefault(item.path, item)
        for attribute in ("speaker", "split", "text", "label"):
            first, second = getattr(earlier, attribute), getattr(item, attribute)
            if first and second and first != second:
                raise CorpusError(
                    f"{item.path}: {attribute} is {shortened(first, 80)!r} ({earlier.where}) and "
                    f"{shortened(second, 80)!r} ({item.where}); correct one of them"
                )
        text, label = earlier.text or item.text, earlier.label or item.label
        by_path[item.path] = replace(earlier, split=earlier.split or item.split, text=text, label=label)
    return list(by_path.values())


def _seconds(path: Path) -> float | Skipped:
    try:
        return Waveform.read(path).seconds
    except AudioError as error:
        return Skipped(path, str(error).removeprefix(f"{path}: "))
