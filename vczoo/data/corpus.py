"""`Corpus`: recordings of named speakers, split into training, validation and test.

`corpus_reader` reads it from folders and manifests; `manifest` describes their layout.
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
        path: Absolute path.
        speaker: Name of the speaker, in Unicode's composed form (NFC).
        split: The split that the utterance belongs to.
        seconds: Duration in seconds.
        first_second: Where the utterance begins in the file, in seconds.
        text: Transcript of the whole recording, unchanged; "" if it is unknown.
        label: Label of the recording, in Unicode's composed form (NFC); "" if it has none.
    """

    path: Path
    speaker: str
    split: Split
    seconds: float
    first_second: float = 0.0
    text: str = ""
    label: str = ""

    def parts(self, longest_seconds: float) -> list[Utterance]:
        """Split an utterance longer than `longest_seconds` into parts of equal duration. Others stay whole."""
        count = math.ceil(self.seconds / longest_seconds)
        each = self.seconds / max(1, count)
        return (
            [self]
            if count < 2
            else [replace(self, seconds=each, first_second=self.first_second + index * each) for index in range(count)]
        )


@dataclass(frozen=True)
class Skipped:
    """A recording that was left out, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Corpus:
    """Recordings of named speakers, each in one split.

    Attributes:
        utterances: The usable recordings, sorted by speaker, then path.
        skipped: The unusable recordings, sorted by path.
    """

    utterances: tuple[Utterance, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers' names, sorted."""
        return tuple(sorted({utterance.speaker for utterance in self.utterances}))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the training recordings, sorted."""
        return tuple(sorted({utterance.label for utterance in self.split("train")} - {""}))

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
            with ThreadPoolExecutor(READERS) as pool:
                contents = pool.map(_content_hash, (utterance.path for utterance in utterances))
            ranks = {
                utterance: hashlib.sha256(f"{seed}/{content}".encode()).hexdigest()
                for utterance, content in zip(utterances, contents, strict=True)
            }
            total = 0.0
            for number, utterance in enumerate(sorted(utterances, key=lambda u: (ranks[u], str(u.path)))):
                total += utterance.seconds
                if total > 60 * minutes:
                    left_out.add(utterance)
                    if not number:
                        faults.append(f"{speaker}'s {utterance.path.name} has {utterance.seconds / 60:.2g} minutes")
        if faults:
            raise CorpusError(
                f"no recording fits into {minutes:g} minutes of training speech: "
                f"{'; '.join(truncated_list(faults))}. Allow more minutes, or cut long recordings into sentences"
            )
        return replace(self, utterances=tuple(u for u in self.utterances if u not in left_out))

    def _training(self, speaker: str) -> list[Utterance]:
        return [utterance for utterance in self.of_speaker(speaker) if utterance.split == "train"]

    def fingerprint(self) -> str:
        """SHA-256 of every utterance's speaker, split, file content, text and label.

        It does not depend on the files' locations or names. Every file is read.

        Raises:
            CorpusError: A file has been removed since the corpus was read.
        """
        with ThreadPoolExecutor(READERS) as pool:
            contents = list(pool.map(_content_hash, (utterance.path for utterance in self.utterances)))
        rows = sorted(
            json.dumps([utterance.speaker, utterance.split, content, *_annotations(utterance).items()])
            for utterance, content in zip(self.utterances, contents, strict=True)
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def to_jsonl(self) -> str:
        """Format the corpus as a .jsonl manifest with absolute paths, which `read_corpus` can read."""
        rows = (
            {"path": str(u.path), "speaker": u.speaker, "split": u.split, **_annotations(u)} for u in self.utterances
        )
        return "".join(json.dumps(row) + "\n" for row in rows)

    def merge(self, other: Corpus) -> Corpus:
        """Merge another corpus into this one.

        If both contain a path, this corpus's split is used, so that recordings held out of an earlier training stay
        held out. Its text and label are used, too, if it has them.

        Raises:
            CorpusError: A path has a different speaker, text or label in `other`, or names of speakers differ only in
                case or Unicode form.
        """
        check_distinct_names([*self.speakers, *other.speakers])
        merged = {utterance.path: utterance for utterance in self.utterances}
        for utterance in other.utterances:
            existing = merged.setdefault(utterance.path, utterance)
            for attribute in ("speaker", "text", "label"):
                first, second = getattr(existing, attribute), getattr(utterance, attribute)
                if first and second and first != second:
                    raise CorpusError(
                        f"{utterance.path}: {attribute} is {shortened(first, 80)!r} in one corpus and "
                        f"{shortened(second, 80)!r} in the other; correct one of them"
                    )
            text, label = existing.text or utterance.text, existing.label or utterance.label
            merged[utterance.path] = replace(existing, text=text, label=label)
        return sorted_corpus(merged.values(), (*self.skipped, *other.skipped))

    def report(self) -> str:
        """Readable summary of a few lines: speakers, minutes, splits, and skipped recordings with reasons."""
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
        # File names that are not UTF-8 could not be printed.
        return "\n".join(lines).encode(errors="backslashreplace").decode()


def _content_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read any more ({error.strerror}); read the corpus again") from error


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
            f"{'; '.join(truncated_list(pairs))}. Spell a person's name in one way; give two people different names"
        )


def _annotations(utterance: Utterance) -> dict[str, str]:
    """The text and the label of an utterance, as far as it has them."""
    annotations = {"text": utterance.text, "label": utterance.label}
    return {name: value for name, value in annotations.items() if value}
