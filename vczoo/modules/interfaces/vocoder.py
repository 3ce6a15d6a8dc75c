"""Interfaces of vocoders and watermarks."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.modules.interfaces.freezing import HoldsFrozen
from vczoo.registry.origin import Origin

__all__ = ["PitchVocoder", "Vocoder", "Watermark"]


class Vocoder(HoldsFrozen, ABC):
    """Network that turns acoustic frames into waveforms.

    Attributes:
        accepts: Format of the acoustic frames that the vocoder reads.
        origin: Source of the pretrained weights, set by the code that loads them; None for random weights.
    """

    accepts: MelSpec | FrameSpec
    origin: Origin | None = None

    @abstractmethod
    def forward(self, frames: Frames) -> Waveform:
        """Synthesize waveforms from acoustic frames in the format `accepts`: (B, T, C) -> (B, S)."""

    def rebuild(self, frames: Frames, real: Waveform) -> Waveform:
        """Synthesize waveforms in training, with a gradient.

        A vocoder can take from the real waveforms what it does not learn, such as the phases. By default, this method
        does the same as `forward`.

        Args:
            frames: Acoustic frames of whole segments, (B, T, C).
            real: The segments that the frames were computed from, (B, S).
        """
        rebuilt: Waveform = self(frames)
        return rebuilt

    def follow(self, frames: Frames, before: Waveform) -> Waveform:
        """Synthesize the next chunk of a longer waveform, so that it can be cross-faded with the previous one.

        By default, this method ignores `before` and does the same as `forward`.

        Args:
            frames: Acoustic frames of the chunk, (1, T, C).
            before: The part of the waveform that exists already, from the beginning of the first frame on, (1, P).
        """
        continued: Waveform = self(frames)
        return continued


class PitchVocoder(Vocoder):
    """Vocoder that also reads the pitch, as `pitch_frames` returns it for its frames: (B, T, 2)."""

    @abstractmethod
    def forward(self, frames: Frames, pitch: Frames | None = None) -> Waveform:
        """Synthesize waveforms: (B, T, C), (B, T, 2) -> (B, S). Without pitch, everything is unvoiced."""

    def rebuild(self, frames: Frames, real: Waveform, pitch: Frames | None = None) -> Waveform:
        """Like `Vocoder.rebuild`, with the pitch of the segments."""
        rebuilt: Waveform = self(frames, pitch)
        return rebuilt

    def follow(self, frames: Frames, before: Waveform, pitch: Frames | None = None) -> Waveform:
        """Like `Vocoder.follow`, with the pitch of the chunk."""
        continued: Waveform = self(frames, pitch)
        return continued


class Watermark(nn.Module, ABC):
    """Inaudible watermark that marks a recording as synthetic, with its detector."""

    @abstractmethod
    def embed(self, wave: Waveform) -> Waveform:
        """Embed the watermark: (1, S) -> (1, S), at the same sample rate, whatever it is.

        A long recording is passed in chunks. A chunk has at least 1 sample.
        """

    @abstractmethod
    def detect(self, wave: Waveform) -> float:
        """Return the probability, 0 to 1, that a recording (1, S) of up to 30 s carries this watermark anywhere."""
