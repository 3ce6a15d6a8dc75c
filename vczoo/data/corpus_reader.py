"""Reading a corpus from folders, manifests, long recordings and data sets."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, cast

from torch import Tensor

from vczoo.audio.limits import SILENCE_PEAK
from vczoo.audio.reader import SoundReader
from vczoo.audio.waveform import Waveform
from vczoo.data.columns import Split
from vczoo.data.corpus import READERS, Corpus, Skipped, Utterance, check_distinct_names, sorted_corpus
from vczoo.data.dataset_rows import Dataset, is_dataset, list_dataset
from vczoo.data.duplicates import envelope, leak_notes
from vczoo.data.excerpts import cut_part
from vczoo.data.listing import LAYOUT, list_recordings
from vczoo.data.manifest import Listed, Listing
from vczoo.data.pauses import cut_at_pauses
from vczoo.data.splits import assign_splits
from vczoo.errors import AudioError, CorpusError, shortened
from vczoo.io.log import logger
from vczoo.io.names import composed, name_fault
from vczoo.io.text import harmless, truncated_list

__all__ = ["read_corpus"]

LONG_SECONDS = 15.0  # a recording that is longer holds several sentences
FEW = 10  # of fewer recordings, a tenth for validation and a tenth for test would be too large a part
END_TOLERANCE_SECONDS = 0.1  # a manifest may round the end of a file up
UNUSUAL_SECONDS = 600.0  # recordings that are longer, or of unknown length, are decoded one at a time

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
    decoded = _decode(listed)
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


@dataclass
class _Decoded:
    """What decoding some recordings has shown.

    Attributes:
        seconds: The duration of each usable utterance. A long recording that was cut is replaced by its pieces.
        envelopes: The envelope of each usable utterance.
        skipped: The unusable ones.
        faults: Parts that a manifest lists but that are not in their files.
        pieces: The number of pieces of each recording that was cut, and its seconds without speech.
    """

    seconds: dict[Listed, float] = field(default_factory=dict)
    envelopes: dict[Listed, Tensor] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    pieces: dict[Listed, tuple[int, float]] = field(default_factory=dict)

    def add(self, other: _Decoded) -> None:
        self.seconds |= other.seconds
        self.envelopes |= other.envelopes
        self.skipped += other.skipped
        self.faults += other.faults
        self.pieces |= other.pieces

    def cut_notes(self) -> tuple[str, ...]:
        lines = []
        for item, (count, silence) in self.pieces.items():
            left_out = f"; {silence:.0f} s without speech were left out" if silence >= 1 else ""
            lines.append(
                f"{harmless(item.path.name)} of {item.speaker} was cut at pauses into {count} pieces{left_out}"
            )
        return tuple(truncated_list(lines))


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


def _decode(listed: Sequence[Listed]) -> _Decoded:
    """Decode every file once."""
    of_speaker = Counter(item.speaker for item in listed)
    by_file: defaultdict[tuple[Path, str], list[Listed]] = defaultdict(list)
    for item in listed:
        by_file[item.path, item.channel].append(item)

    def decode(items: Sequence[Listed]) -> _Decoded:
        return _decode_file(items, few=[item for item in items if of_speaker[item.speaker] < FEW])

    decoded = _Decoded()
    with ThreadPoolExecutor(READERS) as pool:
        for outcome in pool.map(decode, by_file.values()):
            decoded.add(outcome)
    return decoded


def _decode_file(items: Sequence[Listed], few: Sequence[Listed]) -> _Decoded:
    """Decode one file, and measure the utterances in it.

    Args:
        items: The utterances.
        few: Those of speakers with few utterances; they are cut if they are long.
    """
    decoded = _Decoded()
    path = items[0].path
    try:
        wave = _read(path, items[0].channel)
    except AudioError as error:
        decoded.skipped += [Skipped(path, str(error).removeprefix(f"{harmless(path)}: "), item.start) for item in items]
        return decoded
    for item in items:
        if item in few and wave.seconds > LONG_SECONDS and item.is_whole and not item.split and not item.text:
            spans = cut_at_pauses(wave)
            for start, end in spans:
                _measure(replace(item, start=start, end=end), wave, decoded)
            decoded.pieces[item] = len(spans), wave.seconds - sum(end - start for start, end in spans)
        else:
            _measure(item, wave, decoded)
    return decoded


_one_long_recording = Lock()


def _read(path: Path, channel: str) -> Waveform:
    """Read a recording. Only one that is long is in memory at a time, since it may take a gigabyte."""
    reader = SoundReader(path, channel or None)
    with nullcontext() if 0 < reader.seconds <= UNUSUAL_SECONDS else _one_long_recording:
        return Waveform.decode(reader)


def _measure(item: Listed, wave: Waveform, decoded: _Decoded) -> None:
    end = wave.seconds if item.end is None else min(item.end, wave.seconds)
    if item.start >= wave.seconds or (item.end or 0) > wave.seconds + END_TOLERANCE_SECONDS:
        until = "its end" if item.end is None else f"{item.end:g} s"
        decoded.faults.append(
            f"{item.where}: {harmless(item.path.name)} lasts {wave.seconds:.2f} s, but the utterance is from "
            f"{item.start:g} s to {until}"
        )
        return
    if not item.is_whole:
        wave = cut_part(wave, item.start, end)
        if float(wave.samples.abs().max()) < SILENCE_PEAK:
            reason = f"silent from {item.start:g} s to {end:g} s (peak below -80 dBFS)"
            decoded.skipped.append(Skipped(item.path, reason, item.start))
            return
    decoded.seconds[item] = wave.seconds if item.is_whole else round(end - item.start, 6)
    decoded.envelopes[item] = envelope(wave)


def _check_usable(listed: Sequence[Listed], decoded: _Decoded) -> None:
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
