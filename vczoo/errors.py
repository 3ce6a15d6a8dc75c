"""Exceptions of vczoo. Each message says what was wrong, what was expected, what was got, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "AudioError",
    "AudioWarning",
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
    "VoiceWarning",
    "WeightsError",
    "shortened",
]

MOST_FAULTS, LONGEST_FAULT = 50, 2000  # limits of one message, since a recipe may come from a stranger


class VczooError(Exception):
    """Base class: a mistake in a call, or a problem in the environment that the user can fix."""


class AudioError(VczooError):
    """A recording cannot be read, written or used."""


class AudioWarning(UserWarning):
    """A recording was used, but not as it is: channels were left out, peaks clipped, or damaged parts skipped."""


class CorpusError(VczooError):
    """A folder or manifest of recordings cannot be used for training or evaluation."""


class ContractError(VczooError):
    """Two parts do not fit: their specs disagree, or a part breaks its interface."""


class PluginError(VczooError):
    """A plugin is missing, broken, or in conflict with another."""


class FolderError(VczooError):
    """Some recordings of a folder could not be converted; the others were.

    Attributes:
        made: The conversions of the other recordings.
        faults: The reason for each recording that could not be converted, by its path.
    """

    def __init__(self, folder: str, made: Sequence[object], faults: Mapping[Path, str], count: int) -> None:
        self.made, self.faults = tuple(made), dict(faults)
        lines = "".join(f"\n  {faults[path]}" for path in sorted(faults))
        where = f"{folder}: " if folder else ""
        super().__init__(f"{where}{len(faults)} of {count} recordings could not be converted:{lines}")


class HubError(VczooError):
    """A run on the Hub cannot be found, read, trusted or published."""


class LicenceError(VczooError):
    """The license or the statement of consent does not allow sharing."""


class RunError(VczooError):
    """A run folder cannot be read, written or resumed."""


class VoiceError(VczooError):
    """A voice is missing or cannot be enrolled."""


class VoiceWarning(UserWarning):
    """A voice was enrolled from recordings that hardly describe it."""


class WeightsError(VczooError):
    """Pretrained weights are unavailable or do not fit."""


class UnknownNameError(VczooError):
    """A name is not registered, or has two meanings. The message lists the nearest names, or both meanings."""


class RecipeError(VczooError):
    """A recipe has faults. The message lists all of them."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        self.name = name
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = "\n".join(f"  - {shortened(fault, LONGEST_FAULT)}" for fault in self.faults[:MOST_FAULTS])
        more = f"\n  and {len(self.faults) - MOST_FAULTS} more" if len(self.faults) > MOST_FAULTS else ""
        super().__init__(f"recipe {shortened(name, 200)!r} has {count}:\n{lines}{more}")


def shortened(text: str, limit: int) -> str:
    """Shorten untrusted text for a message: its beginning, if it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def first_line(error: BaseException, limit: int = 200) -> str:
    """The first line of an error's message, shortened; the name of the error's type if the message is empty."""
    return shortened((str(error).splitlines() or [type(error).__name__])[0], limit)
