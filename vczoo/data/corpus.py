"""`Corpus`: a folder of recordings or a manifest in; speakers, utterances and splits out.

A folder is `<folder>/<speaker>/**/*.wav` (or .flac, .ogg, .mp3), with a .txt file beside a recording whose text is
known. A manifest is a .csv or .jsonl file with the columns path, speaker and, if there are such, split, text and label;
its paths are relative to it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from vczoo.data.manifest import SPLITS, Split, composed
from vczoo.errors import CorpusError, shortened
from vczoo.io.text import truncated_list

__all__ = ["Corpus", "Skipped", "Split", "Utterance"]

READERS = 4  # libsndfile decodes outside the GIL


@dataclass(frozen=True)
class Utterance:
    """One usable recording.

    Attributes:
        path: absolute.
        speaker: who speaks, in Unicode's composed form (NFC).
        split: what it serves for.
        seconds: its duration.
        first_second: where it begins in the file.
        text: what is said in the whole recording, as it was given; "" where that is not known.
        label: of the recording, in Unicode's composed form (NFC); "" where it has none.
    """

    path: Path
    speaker: str
    split: Split
    seconds: float
    first_second: float = 0.0
    text: str = ""
    label: str = ""

    def parts(self, longest_seconds: float) -> list[Utterance]:
        """It itself, or where it is longer than that, parts of equal duration that are not."""
        count = math.ceil(self.seconds / longest_seconds)
        each = self.seconds / max(1, count)
        return (
            [self]
            if count < 2
            else [replace(self, seconds=each, first_second=self.first_second + index * each) for index in range(count)]
        )


@dataclass(frozen=True)
class Skipped:
    """A recording that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Corpus:
    """Recordings of named speakers, each in one split.

    Attributes:
        utterances: sorted by speaker, then path.
        skipped: what could not be used, sorted by path.
    """

    utterances: tuple[Utterance, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers' names, sorted."""
        return tuple(sorted({utterance.speaker for utterance in self.utterances}))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the recordings for training, sorted."""
        return tuple(sorted({utterance.label for utterance in self.split("train")} - {""}))

    def split(self, name: Split) -> tuple[Utterance, ...]:
        """The utterances of one split."""
        if name not in SPLITS:
            raise CorpusError(f"a split is one of {', '.join(SPLITS)}, got {name!r}")
        return tuple(utterance for utterance in self.utterances if utterance.split == name)

    def of_speaker(self, speaker: str) -> tuple[Utterance, ...]:
        """The utterances of one speaker, of all splits."""
        return tuple(utterance for utterance in self.utterances if utterance.speaker == speaker)

    def seconds_by_speaker(self) -> dict[str, float]:
        """Each speaker's seconds, all splits together, in the order of `speakers`."""
        return {speaker: sum(utterance.seconds for utterance in self.of_speaker(speaker)) for speaker in self.speakers}

    def training_seconds(self) -> dict[str, float]:
        """Seconds of training recordings of each speaker that training hears, in the order of `speakers`."""
        return {name: seconds for name in self.speakers if (seconds := sum(u.seconds for u in self._training(name)))}

    def within(self, minutes: float, seed: int = 0) -> Corpus:
        """At most so many minutes of each speaker's training recordings; validation and test stay as they are.

        Whole recordings are taken up to the first that no longer fits, in an order that the seed and their contents
        decide: what fewer minutes take is among what more minutes take, wherever the files lie.

        Raises:
            CorpusError: minutes is not positive; of a speaker not even the first recording fits; a file has gone.
        """
        if not 0 < minutes < math.inf:
            raise CorpusError(f"minutes of training speech are more than 0, got {minutes:g}")
        left_out: set[Utterance] = set()
        faults = []
        for speaker in self.training_seconds():
            own = self._training(speaker)
            with ThreadPoolExecutor(READERS) as pool:
                contents = pool.map(_content_hash, (utterance.path for utterance in own))
            ranks = {u: hashlib.sha256(f"{seed}/{c}".encode()).hexdigest() for u, c in zip(own, contents, strict=True)}
            total = 0.0
            for number, utterance in enumerate(sorted(own, key=lambda u: (ranks[u], str(u.path)))):
                total += utterance.seconds
                if total > 60 * minutes:
                    left_out.add(utterance)
                    if not number:
                        faults.append(f"{speaker}'s {utterance.path.name} has {utterance.seconds / 60:.2g}")
        if faults:
            raise CorpusError(
                f"no recording fits into {minutes:g} minutes of training speech: "
                f"{'; '.join(truncated_list(faults))}. Ask for more minutes, or cut long recordings into sentences"
            )
        return replace(self, utterances=tuple(u for u in self.utterances if u not in left_out))

    def _training(self, speaker: str) -> list[Utterance]:
        return [utterance for utterance in self.of_speaker(speaker) if utterance.split == "train"]

    def fingerprint(self) -> str:
        """SHA-256 over the speaker, split and file content (its SHA-256), and text and label, of every utterance.

        It does not depend on where the files lie or what they are called. Every file is read.

        Raises:
            CorpusError: a file has gone since the corpus was read.
        """
        with ThreadPoolExecutor(READERS) as pool:
            contents = list(pool.map(_content_hash, (utterance.path for utterance in self.utterances)))
        rows = sorted(
            json.dumps([utterance.speaker, utterance.split, content, *_annotations(utterance).items()])
            for utterance, content in zip(self.utterances, contents, strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def to_jsonl(self) -> str:
        """A manifest of it, with absolute paths, splits, texts and labels, that `read_corpus` reads back."""
        rows = (
            {"path": str(u.path), "speaker": u.speaker, "split": u.split, **_annotations(u)} for u in self.utterances
        )
        return "".join(json.dumps(row) + "\n" for row in rows)

    def merge(self, other: Corpus) -> Corpus:
        """This corpus and another. Of a path that both have, this one's split stays, so that what was held out
        of an earlier training stays held out; so do its text and label, where it has them.

        Raises:
            CorpusError: a path has another speaker, text or label there, or two speakers' names differ in case alone.
        """
        check_distinct_names([*self.speakers, *other.speakers])
        merged = {utterance.path: utterance for utterance in self.utterances}
        for utterance in other.utterances:
            known = merged.setdefault(utterance.path, utterance)
            for what in ("speaker", "text", "label"):
                first, second = getattr(known, what), getattr(utterance, what)
                if first and second and first != second:
                    raise CorpusError(
                        f"{utterance.path}: {what} is {shortened(first, 80)!r} in one corpus and "
                        f"{shortened(second, 80)!r} in the other; correct one of them"
                    )
            text, label = known.text or utterance.text, known.label or utterance.label
            merged[utterance.path] = replace(known, text=text, label=label)
        return sorted_corpus(merged.values(), (*self.skipped, *other.skipped))

    def report(self) -> str:
        """A few lines for people: speakers, minutes, splits, and what was skipped and why."""
        seconds = self.seconds_by_speaker()
        counts = ", ".join(f"{len(self.split(name))} {name}" for name in SPLITS)
        lines = [
            f"{len(seconds)} speaker{'s' * (len(seconds) != 1)}, {len(self.utterances)} utterances, "
            f"{sum(seconds.values()) / 60:.1f} minutes ({counts})"
        ]
        lines += truncated_list([f"  {name}: {value / 60:.1f} minutes" for name, value in seconds.items()])
        if self.skipped:
            lines.append(f"{len(self.skipped)} skipped:")
            lines += truncated_list([f"  {skipped.path}: {skipped.reason}" for skipped in self.skipped])
        # A file's name need not be UTF-8, and then could not be printed.
        return "\n".join(lines).encode(errors="backslashreplace").decode()


def _content_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorpusError(f"{path}: gone since the corpus was read ({error.strerror})") from error


def sorted_corpus(utterances: Iterable[Utterance], skipped: Iterable[Skipped]) -> Corpus:
    ordered = sorted(utterances, key=lambda item: (item.speaker, str(item.path)))
    used = {item.path for item in ordered}
    reasons = {item.path: item for item in skipped if item.path not in used}
    return Corpus(tuple(ordered), tuple(sorted(reasons.values(), key=lambda item: str(item.path))))


def check_distinct_names(speakers: Iterable[str]) -> None:
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for speaker in speakers:
        alike[composed(composed(speaker).casefold())].add(speaker)
    pairs = [" and ".join(map(ascii, sorted(names))) for names in alike.values() if len(names) > 1]
    if pairs:
        raise CorpusError(
            "speakers whose names differ only in case, spaces or Unicode form: "
            f"{'; '.join(truncated_list(pairs))}. Give one person one name, and two people two"
        )


def _annotations(utterance: Utterance) -> dict[str, str]:
    """What is known of an utterance beside who speaks."""
    known = {"text": utterance.text, "label": utterance.label}
    return {name: value for name, value in known.items() if value}
