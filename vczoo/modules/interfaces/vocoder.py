"""Interfaces of vocoders and watermarks."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.registry.origin import Origin

__all__ = ["Vocoder", "Watermark"]


class Vocoder(nn.Module, ABC):
    """Turns acoustic frames into a waveform. Its `origin` is as a backbone's."""

    accepts: MelSpec | FrameSpec
    origin: Origin | None = None

    @abstractmethod
    def forward(self, frames: Frames) -> Waveform:
        """(B, T, C) under `accepts` -> (B, S)."""

    def rebuild(self, frames: Frames, real: Waveform) -> Waveform:
        """As `forward`, in training: with a gradient, and with what no loss need teach it taken from the recording.

        Args:
            frames: (B, T, C), of whole excerpts.
            real: (B, S), the recording that they were made of. One whose phases are not learnt takes its phases.
        """
        made: Waveform = self(frames)
        return made

    def follow(self, frames: Frames, before: Waveform) -> Waveform:
        """As `forward`, going on from what was made earlier, where a vocoder can: else it is not read.

        Args:
            frames: (1, T, C).
            before: (1, P), the waveform that is there already, from the first frame's beginning on.
        """
        made: Waveform = self(frames)
        return made


class Watermark(nn.Module, ABC):
    """Hides in a recording that it is synthetic, where nobody hears it, and finds that again."""

    @abstractmethod
    def embed(self, wave: Waveform) -> Waveform:
        """(1, S) at any rate -> (1, S) at the same. A long recording comes piece by piece, of any lengths from 1 on."""

    @abstractmethod
    def detect(self, wave: Waveform) -> float:
        """The probability, 0 to 1, that some of a recording, (1, S) of up to 30 s, carries this watermark."""
