"""Interface of the decoders of sound files: a file as blocks of samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vczoo.errors import AudioError
from vczoo.io.text import harmless

__all__ = ["BLOCK_SAMPLES", "BLOCK_SECONDS", "BLOCK_VALUES", "AudioBlock", "Decoder", "truncated"]

BLOCK_SAMPLES, BLOCK_SECONDS, BLOCK_VALUES = 65536, 5, 1 << 20  # the most in a block; values are samples x channels
AudioBlock = np.ndarray[tuple[int, int], np.dtype[np.float32]]


class Decoder(ABC):
    """A sound file as blocks of samples.

    Attributes:
        path: The sound file.
        sample_rate_hz: Sample rate in Hz.
        num_channels: Number of channels.
        promised: Number of samples per channel that the header states; 0 if it states none.
        comments: Texts of the file's comment field, which may hold a provenance mark.
    """

    path: Path
    sample_rate_hz: int
    num_channels: int
    promised: int
    comments: tuple[str, ...] = ()

    @abstractmethod
    def blocks(self) -> Iterator[AudioBlock]:
        """Decode the file from its beginning: blocks (S, C), float32.

        Raises:
            AudioError: The file is damaged or truncated.
        """


def truncated(path: Path, what: str) -> AudioError:
    """The error for a file that ends too early."""
    return AudioError(f"{harmless(path)}: truncated, {what}; copy or export it again")
