"""`Corpus`: recordings of named speakers, split into training, validation and test.

`corpus_reader` reads it from folders, manifests and recordings; `listing` and `manifest` describe their layout.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import defaultdict
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vczoo.data.columns import SPLITS, Split
from vczoo.data.utterance import Skipped, Utterance
from vczoo.errors import CorpusError, shortened
from vczoo.io.files import sha256_of
from vczoo.io.names import name_key
from vczoo.io.text import harmless, truncated_list

__all__ = ["Corpus", "Skipped", "Split", "Utterance"]

READERS = 4  # libsndfile decodes outside the GIL


@dataclass(frozen=True, repr=False)
class Corpus:
    """Recordings of named speakers, each in one split.

    Attributes:
        utterances: The usable recordings, sorted by speaker, then path.
        skipped: The unusable recordings, sorted by path.
        notes: Readable remarks on the reading: files that were passed over, columns that are not used, recordings that
            were cut, and likely leaks between the splits.
        columns: Other columns of the manifest that heads read, from `reading`. They are in the fingerprint and in
            `to_jsonl`.
    """

    utterances: tuple[Utterance, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    columns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        minutes = sum(utterance.seconds for utterance in self.utterances) / 60
        return (
            f"<Corpus: {len(self.speakers)} speakers, {len(self.utterances)} utterances, {minutes:.1f} minutes, "
            f"{len(self.skipped)} skipped>"
        )

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers' names, sorted."""
        return tuple(sorted({utterance.speaker for utterance in self.utterances}))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the training recordings, sorted."""
        return tuple(sorted({utterance.label for utterance in self.split("train")} - {""}))

    def reading(self, columns: Iterable[str]) -> Corpus:
        """The same corpus, for heads that read these other columns of the manifest."""
        return replace(self, columns=tuple(sorted({*self.columns, *columns} - {"text", "label"})))

    def split(self, name: Split) -> tuple[Utterance, ...]:
        """The utterances of one split.

        Raises:
            CorpusError: There is no split of that name.
        """
        if name not in SPLITS:
            raise CorpusError(f"a split must be one of {', '.join(SPLITS)}, got {name!r}")
        return tuple(utterance for utterance in self.utterances if utterance.split == name)

    def of_speaker(self, speaker: str) -> tuple[Utterance, ...]:
        """The utterances of one speaker, from all splits."""
        return tuple(utterance for utterance in self.utterances if utterance.speaker == speaker)

    def seconds_by_speaker(self) -> dict[str, float]:
        """Seconds of speech of each speaker in all splits together, in the order of `speakers`."""
        return {speaker: sum(utterance.seconds for utterance in self.of_speaker(speaker)) for speaker in self.speakers}

    def training_seconds(self) -> dict[str, float]:
        """Seconds of training speech of each speaker that has any, in the order of `speakers`."""
        return {name: seconds for name in self.speakers if (seconds := sum(u.seconds for u in self._training(name)))}

    def within(self, minutes: float, seed: int = 0) -> Corpus:
        """Reduce each speaker's training speech to at most `minutes`. Validation and test stay the same.

        Recordings are ranked by the seed and their content, not by their location. They are taken whole, up to the
        first that no longer fits. So a larger `minutes` keeps at least the same recordings.

        Args:
            minutes: The most minutes of training speech per speaker.
            seed: Seed of the ranking.

        Raises:
            CorpusError: `minutes` is not positive, a speaker's first recording is longer than that, or a file has been
                removed.
        """
        if not 0 < minutes < math.inf:
            raise CorpusError(f"minutes of training speech must be a number above 0, got {minutes:g}")
        left_out: set[Utterance] = set()
        faults = []
        for speaker in self.training_seconds():
            utterances = self._training(speaker)
            contents = _content_hashes(utterances)
            ranks = {
                u: hashlib.sha256(f"{seed}/{contents[u.path]}{_place(u) or ''}".encode()).hexdigest()
                for u in utterances
            }
            total = 0.0
            for number, utterance in enumerate(sorted(utterances, key=lambda u: (ranks[u], str(u.path)))):
                total += utterance.seconds
                if total > 60 * minutes:
                    left_out.add(utterance)
                    if not number:
                        faults.append(
                            f"{speaker}'s {Path(utterance.name).name} has {utterance.seconds / 60:.2g} minutes"
                        )
        if faults:
            raise CorpusError(
                f"no recording fits into {minutes:g} minutes of training speech: "
                f"{'; '.join(truncated_list(faults))}. Allow more minutes, or cut long recordings into sentences"
            )
        return replace(self, utterances=tuple(u for u in self.utterances if u not in left_out))

    def _training(self, speaker: str) -> list[Utterance]:
        return [utterance for utterance in self.of_speaker(speaker) if utterance.split == "train"]

    def fingerprint(self) -> str:
        """SHA-256 of every utterance's speaker, split, file content, place, channel, text, label and columns.

        It does not depend on the files' locations or names. Every file is read.

        Raises:
            CorpusError: A file has been removed since the corpus was read.
        """
        contents = _content_hashes(self.utterances)
        rows = sorted(
            json.dumps([u.speaker, u.split, contents[u.path], *self._details(u).items()]) for u in self.utterances
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def to_jsonl(self, folder: Path | None = None) -> str:
        """Format the corpus as a .jsonl manifest with absolute paths, which `read_corpus` can read.

        Args:
            folder: The folder that the manifest is written to. Each row then also has the path relative to that folder,
                so that the manifest stays valid if it is moved together with the recordings.
        """
        rows = (
            {
                "path": str(u.path),
                **_relative(u.path, folder),
                "speaker": u.speaker,
                "split": u.split,
                **self._details(u),
            }
            | ({"group": u.group} if u.group else {})
            for u in self.utterances
        )
        return "".join(json.dumps(row) + "\n" for row in rows)

    def _details(self, utterance: Utterance) -> dict[str, Any]:
        """The columns of an utterance besides path, speaker, split and group, as far as it has them."""
        values = {"channel": utterance.channel, "text": utterance.text, "label": utterance.label}
        values |= {name: utterance.annotation(name) for name in self.columns}
        return _place(utterance) | {name: value for name, value in values.items() if value}

    def merge(self, other: Corpus) -> Corpus:
        """Merge another corpus into this one.

        If both contain a recording, this corpus's split is used, so that recordings held out of an earlier training
        stay held out, and with them the rest of their group. Its text, label and other columns are used, too, if it
        has them. An utterance of `other` that overlaps one of this corpus in the same file, but is not the same, is
        left out.

        Raises:
            CorpusError: A path has a different speaker, text or label in `other`, or names of speakers differ only in
                case or Unicode form.
        """
        check_distinct_names([*self.speakers, *other.speakers])
        merged = {utterance.key: utterance for utterance in self.utterances}
        of_group = {utterance.group: utterance.split for utterance in self.utterances if utterance.group}
        spans: defaultdict[Hashable, list[Utterance]] = defaultdict(list)
        for utterance in self.utterances:
            spans[utterance.path, utterance.channel].append(utterance)
        left_out = 0
        for utterance in other.utterances:
            here = spans[utterance.path, utterance.channel]
            if utterance.key not in merged and any(utterance.overlaps(mine) for mine in here):
                left_out += 1
                continue
            existing = merged.get(utterance.key) or replace(
                utterance, split=of_group.get(utterance.group, utterance.split)
            )
            for attribute in ("speaker", "text", "label"):
                first, second = getattr(existing, attribute), getattr(utterance, attribute)
                if first and second and first != second:
                    raise CorpusError(
                        f"{utterance.name}: {attribute} is {shortened(first, 80)!r} in one corpus and "
                        f"{shortened(second, 80)!r} in the other; correct one of them"
                    )
            text, label = existing.text or utterance.text, existing.label or utterance.label
            annotations = tuple({**dict(utterance.annotations), **dict(existing.annotations)}.items())
            merged[utterance.key] = replace(existing, text=text, label=label, annotations=annotations)
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        if left_out:
            notes += (f"left out {left_out} utterances, because parts of the same recordings are here already",)
        corpus = sorted_corpus(merged.values(), (*self.skipped, *other.skipped), notes)
        return corpus.reading((*self.columns, *other.columns))

    def report(self) -> str:
        """Readable summary of a few lines: speakers, minutes, splits, skipped recordings with reasons, and `notes`."""
        seconds = self.seconds_by_speaker()
        counts = ", ".join(f"{len(self.split(name))} {name}" for name in SPLITS)
        lines = [
            f"{len(seconds)} speaker{'s' * (len(seconds) != 1)}, {len(self.utterances)} utterances, "
            f"{sum(seconds.values()) / 60:.1f} minutes ({counts})"
        ]
        lines += truncated_list([f"  {name}: {value / 60:.1f} minutes" for name, value in seconds.items()])
        if self.skipped:
            lines.append(f"{len(self.skipped)} skipped:")
            lines += truncated_list([f"  {harmless(skipped.path)}: {skipped.reason}" for skipped in self.skipped])
        lines += self.notes
        # File names that are not UTF-8 could not be printed.
        return "\n".join(lines).encode(errors="backslashreplace").decode()


def _content_hashes(utterances: Iterable[Utterance]) -> dict[Path, str]:
    """The SHA-256 of every file, each read once."""
    paths = list(dict.fromkeys(utterance.path for utterance in utterances))
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(paths, pool.map(_content_hash, paths), strict=True))


def _content_hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise CorpusError(
            f"{harmless(path)}: cannot be read any more ({error.strerror}); read the corpus again"
        ) from error


def sorted_corpus(utterances: Iterable[Utterance], skipped: Iterable[Skipped], notes: tuple[str, ...] = ()) -> Corpus:
    ordered = sorted(utterances, key=lambda item: (item.speaker, str(item.path), item.first_second, item.channel))
    used = {(item.path, item.first_second) for item in ordered}
    reasons = {place: item for item in skipped if (place := (item.path, item.first_second)) not in used}
    return Corpus(
        tuple(ordered), tuple(sorted(reasons.values(), key=lambda item: (str(item.path), item.first_second))), notes
    )


def check_distinct_names(speakers: Iterable[str]) -> None:
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for speaker in speakers:
        alike[name_key(speaker)].add(speaker)
    pairs = [" and ".join(map(ascii, sorted(names))) for names in alike.values() if len(names) > 1]
    if pairs:
        raise CorpusError(
            "speakers whose names differ only in case, spaces or Unicode form: "
            f"{'; '.join(truncated_list(pairs))}. Spell a person's name in one way; give two people different names"
        )


def _place(utterance: Utterance) -> dict[str, float]:
    """Start and end of a part in its file, in seconds; empty for a whole file."""
    if not utterance.is_part:
        return {}
    return {"start": utterance.first_second, "end": round(utterance.first_second + utterance.seconds, 6)}


def _relative(path: Path, folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {}
    try:
        return {"relative_path": os.path.relpath(path, folder)}
    except ValueError:  # on another drive of Windows
        return {}
