"""`Utterance`: a usable recording, or a part of one; and `Skipped`, an unusable one with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from vczoo.data.columns import Split

__all__ = ["Skipped", "Utterance"]


@dataclass(frozen=True)
class Utterance:
    """One usable recording, or a part of one.

    Attributes:
        path: Absolute path of the file.
        speaker: Name of the speaker, in Unicode's composed form (NFC).
        split: The split that the utterance belongs to.
        seconds: Duration of the utterance in seconds.
        first_second: Where the utterance begins in the file, in seconds.
        text: Transcript of the whole utterance, unchanged; "" if it is unknown.
        label: Label of the utterance, in Unicode's composed form (NFC); "" if it has none.
        is_part: Whether the utterance is only a part of its file.
        channel: The channel to read: left, right or mix; "" leaves it to the reader.
        group: Utterances of one group are in the same split; "" is no group.
        annotations: Name and value of each other column of the manifest, for heads that read one.
    """

    path: Path
    speaker: str
    split: Split
    seconds: float
    first_second: float = 0.0
    text: str = ""
    label: str = ""
    is_part: bool = False
    channel: str = ""
    group: str = ""
    annotations: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def annotation(self, column: str) -> str:
        """The value of a manifest column that a head reads: any other column, text or label; "" if it has none."""
        return getattr(self, column) if column in ("text", "label") else dict(self.annotations).get(column, "")

    @property
    def key(self) -> tuple[Path, str, float, float]:
        """Identity of the samples: file, channel, start and, for a part, duration."""
        return self.path, self.channel, self.first_second, self.seconds if self.is_part else 0.0

    @property
    def name(self) -> str:
        """The path, and for a part also where it begins and ends; for messages."""
        end = self.first_second + self.seconds
        return f"{self.path}" + (f" ({self.first_second:.2f} to {end:.2f} s)" if self.is_part else "")

    def overlaps(self, other: Utterance) -> bool:
        """Whether two utterances of one file have more than 50 ms in common."""
        first = max(self.first_second, other.first_second)
        last = min(self.first_second + self.seconds, other.first_second + other.seconds)
        return self.path == other.path and last - first > 0.05

    def parts(self, longest_seconds: float) -> list[Utterance]:
        """Split an utterance longer than `longest_seconds` into parts of equal duration. Others stay whole."""
        count = math.ceil(self.seconds / longest_seconds)
        each = self.seconds / max(1, count)
        return (
            [self]
            if count < 2
            else [
                replace(self, seconds=each, first_second=self.first_second + index * each, is_part=True)
                for index in range(count)
            ]
        )


@dataclass(frozen=True)
class Skipped:
    """A recording, or the part of one that begins at `first_second`, that was left out, and the reason."""

    path: Path
    reason: str
    first_second: float = 0.0
