"""Reading a corpus from folders, manifests, long recordings and data sets."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from vczoo.data.columns import Split
from vczoo.data.corpus import Corpus, Skipped, Utterance, check_distinct_names, sorted_corpus
from vczoo.data.dataset_rows import Dataset, is_dataset, list_dataset
from vczoo.data.decoding import Decoded, decode_recordings
from vczoo.data.duplicates import leak_notes
from vczoo.data.listing import LAYOUT, list_recordings
from vczoo.data.manifest import Listed, Listing
from vczoo.data.splits import assign_splits
from vczoo.errors import CorpusError, shortened
from vczoo.io.log import logger
from vczoo.io.names import composed, name_fault
from vczoo.io.text import harmless, truncated_list

__all__ = ["read_corpus"]


Location = str | os.PathLike[str]


def read_corpus(
    path: Location | Dataset | Sequence[Location | Dataset],
    *,
    validation: float = 0.1,
    test: float = 0.1,
    speaker: str | None = None,
) -> Corpus:
    """Read a folder, a manifest, a long recording, a data set of Hugging Face Datasets, or several of them together.

    Every recording is decoded once. Recordings that `Waveform.read` refuses are skipped, and the reason is reported.

    If a speaker has fewer than ten recordings, those that are longer than 15 s are cut at pauses into pieces of 3 to
    9 s, unless a manifest gives their split, their text, or their start and end. So a single recording of a minute is
    enough. The files stay as they are.

    The utterances are split speaker by speaker. A speaker's utterances are ranked by the SHA-256 of
    "speaker/relative path"; the first ones are for validation, the next ones for test, the rest for training. So the
    split of a speaker depends on neither the order of the files, the machine, the location of the folder, nor the other
    speakers. Splits in a manifest are kept, and the utterances of a group in a manifest stay together.

    Args:
        path: A folder `<speaker>/**`, a .csv or .jsonl manifest, a recording, a `datasets.Dataset` with an Audio column
            and a column `speaker`, `speaker_id` or `client_id`, or a list of them. A data set's other columns are those
            of a manifest. What is not a file on this machine is written to `VCZOO_CACHE`/recordings (by default
            ~/.cache/vczoo/recordings) and stays there.
        validation: Share of each speaker's utterances that is for validation. At least one utterance, unless 0.
        test: Share of each speaker's utterances that is for test. At least one utterance, unless 0.
        speaker: Name of the speaker of single recordings, of recordings that lie directly in a folder, and of a data
            set without a column of speakers. None if there are none.

    Returns:
        The corpus: its usable utterances, the skipped recordings with reasons, and notes.

    Raises:
        CorpusError: `path` is something else; no recording is usable, or none of some speaker; a speaker has too few
            utterances; names of
            speakers differ only in case or Unicode form; a manifest has faults; or a single recording has no speaker.
            The message lists all faults of a kind.
    """
    if not (validation >= 0 and test >= 0 and validation + test < 1):  # written this way to refuse NaN, too
        raise CorpusError(
            f"validation and test must be shares of at least 0 with a sum below 1, got {validation} and {test}"
        )
    listing = _list(_sources(path), speaker)
    check_distinct_names(item.speaker for item in listing.recordings)
    listed = [replace(item, speaker=composed(item.speaker)) for item in _without_repetition(listing.recordings)]
    decoded = decode_recordings(listed)
    if decoded.faults:
        raise CorpusError("\n  ".join(["a manifest lists parts that are not there:", *truncated_list(decoded.faults)]))
    _check_usable(listed, decoded)
    splits = assign_splits(tuple(decoded.seconds), validation, test)
    utterances = {item: _utterance(item, splits[item], seconds) for item, seconds in decoded.seconds.items()}
    leaks = leak_notes({utterances[item]: loudness for item, loudness in decoded.envelopes.items()})
    corpus = sorted_corpus(
        utterances.values(),
        (*(Skipped(*item) for item in listing.unlisted), *decoded.skipped),
        (*listing.notes(), *decoded.cut_notes(), *leaks),
    )
    logger.info("read a corpus: %r", corpus)
    for skipped in corpus.skipped:
        logger.info("skipped %s: %s", harmless(skipped.path), skipped.reason)
    return corpus


def _sources(path: Location | Dataset | Sequence[Location | Dataset]) -> list[Location | Dataset]:
    single = isinstance(path, str | os.PathLike | Mapping) or is_dataset(path) or not isinstance(path, Iterable)
    sources = cast("list[Location | Dataset]", [path] if single else list(cast("Iterable[Any]", path)))
    for source in sources:
        if not isinstance(source, str | os.PathLike) and not is_dataset(source):
            advice = f"; choose one of its splits, as data[{next(iter(source))!r}]" if _has_datasets(source) else ""
            raise CorpusError(
                "a corpus is read from a folder, a .csv or .jsonl manifest, a recording, a datasets.Dataset with an "
                f"Audio column, or a list of them; got a {type(source).__name__}{advice}"
            )
    return sources


def _has_datasets(source: object) -> bool:
    return isinstance(source, Mapping) and any(map(is_dataset, source.values()))


def _list(sources: Sequence[Location | Dataset], speaker: str | None) -> Listing:
    if speaker is not None and (fault := name_fault(speaker)):
        raise CorpusError(f"{fault}; give the speaker another name")
    listing = Listing()
    for source in sources:
        if isinstance(source, str | os.PathLike):
            list_recordings(Path(os.path.abspath(source)), listing, speaker or "")
        else:
            list_dataset(source, listing, speaker or "")
    if speaker is not None and all(item.speaker != speaker for item in listing.recordings):
        raise CorpusError(
            f"no recording for the voice {speaker!r}: that name is for single recordings, and for those directly in a "
            "folder. Folders of speakers and manifests have names already; leave it out"
        )
    if not listing.recordings:
        reasons = [f"{harmless(path)}: {reason}" for path, reason in listing.unlisted]
        nothing = f"no recording in {', '.join(map(_shown, sources)) or 'an empty list of folders'}; {LAYOUT}"
        raise CorpusError("\n  ".join([nothing, *truncated_list(reasons), *listing.notes()]))
    return listing


def _shown(source: Location | Dataset) -> str:
    return harmless(source) if isinstance(source, str | os.PathLike) else "the data set"


def _without_repetition(listed: Sequence[Listed]) -> list[Listed]:
    """List each utterance once, with the split, text, label and group that any of its listings has."""
    by_key: dict[Hashable, Listed] = {}
    for item in listed:
        earlier = by_key.setdefault(item.key, item)
        for attribute in ("speaker", "split", "text", "label", "group"):
            first, second = getattr(earlier, attribute), getattr(item, attribute)
            if first and second and first != second:
                raise CorpusError(
                    f"{harmless(item.path)}: {attribute} is {shortened(first, 80)!r} ({earlier.where}) and "
                    f"{shortened(second, 80)!r} ({item.where}); correct one of them"
                )
        by_key[item.key] = replace(
            earlier,
            split=earlier.split or item.split,
            text=earlier.text or item.text,
            label=earlier.label or item.label,
            group=earlier.group or item.group,
            annotations=tuple({**dict(item.annotations), **dict(earlier.annotations)}.items()),
        )
    return list(by_key.values())


def _check_usable(listed: Sequence[Listed], decoded: Decoded) -> None:
    """Raise CorpusError if nothing of a speaker is usable."""
    unusable = {item.speaker for item in listed} - {item.speaker for item in decoded.seconds}
    if unusable:
        names = ", ".join(map(repr, sorted(unusable)))
        of = {item.path for item in listed if item.speaker in unusable}
        reasons = [f"{harmless(item.path)}: {item.reason}" for item in decoded.skipped if item.path in of]
        raise CorpusError("\n  ".join([f"no usable recording of {names}:", *truncated_list(reasons)]))


def _utterance(item: Listed, split: Split, seconds: float) -> Utterance:
    return Utterance(
        item.path,
        item.speaker,
        split,
        seconds,
        item.start,
        text=item.text,
        label=item.label,
        is_part=not item.is_whole,
        channel=item.channel,
        group=item.group,
        annotations=item.annotations,
    )
