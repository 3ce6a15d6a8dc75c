"""The errors that a caller can cause. Each says what was wrong, what was expected, what was got, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "AudioError",
    "ContractError",
    "CorpusError",
    "FolderError",
    "HubError",
    "LicenceError",
    "PluginError",
    "RecipeError",
    "RunError",
    "UnknownNameError",
    "VczooError",
    "VoiceError",
    "WeightsError",
    "shortened",
]

MOST_FAULTS, LONGEST_FAULT = 50, 2000  # of a recipe, which may be anybody's, in one message


class VczooError(Exception):
    """A caller's mistake, or something in the caller's world that the caller can mend."""


class AudioError(VczooError):
    """A recording that cannot be read, written or used."""


class CorpusError(VczooError):
    """A folder or manifest of recordings that cannot be trained on or measured with."""


class ContractError(VczooError):
    """Two parts that do not fit: their specs disagree, or a part broke its interface."""


class PluginError(VczooError):
    """A plugin that is absent, broken, or in conflict with another."""


class FolderError(VczooError):
    """Recordings of a folder that could not be converted, in one report; the others were.

    Attributes:
        made: what was made of the others.
        faults: what was wrong, by recording.
    """

    def __init__(self, folder: str, made: Sequence[object], faults: Mapping[Path, str], count: int) -> None:
        self.made, self.faults = tuple(made), dict(faults)
        lines = "".join(f"\n  {faults[path]}" for path in sorted(faults))
        super().__init__(f"{folder}: {len(faults)} of {count} recordings could not be converted:{lines}")


class HubError(VczooError):
    """A speaker on the Hub that cannot be found, read, trusted or published."""


class LicenceError(VczooError):
    """A licence or a statement of consent under which something cannot be shared."""


class RunError(VczooError):
    """A run folder that cannot be read, written or resumed."""


class VoiceError(VczooError):
    """A voice that is absent or cannot be enrolled."""


class WeightsError(VczooError):
    """Pretrained weights that cannot be had or do not fit."""


class UnknownNameError(VczooError):
    """A name that nothing is registered under, or two things; the message lists the nearest ones, or both."""


class RecipeError(VczooError):
    """Every fault of one recipe, in one report."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        self.name = name
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = "\n".join(f"  - {shortened(fault, LONGEST_FAULT)}" for fault in self.faults[:MOST_FAULTS])
        more = f"\n  and {len(self.faults) - MOST_FAULTS} more" if len(self.faults) > MOST_FAULTS else ""
        super().__init__(f"recipe {shortened(name, 200)!r} has {count}:\n{lines}{more}")


def shortened(text: str, limit: int) -> str:
    """Text that somebody else may have written, for a message: its beginning, where it is longer than `limit`."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
