"""Random segments of recordings, for vocoder training. They depend only on a seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.pitch import PitchTracker, pitch_frames
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance
from vczoo.data.excerpts import UtteranceReader

__all__ = ["VocoderSegments"]


class VocoderSegments:
    """Recordings that are decoded once and kept in memory. An hour at 16 kHz takes 230 MB.

    Args:
        utterances: The utterances to read; at least one.
        sample_rate_hz: The rate that the recordings are resampled to.
        length: The length of a segment, in samples. Shorter recordings are padded with silence.
        pitch: The frames to track the pitch at, for a vocoder that reads it; segments then start at a frame.
        tracker: The pitch tracker; None means `Dio`.

    Raises:
        AudioError: A recording can no longer be read.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        sample_rate_hz: int,
        length: int,
        pitch: MelSpec | None = None,
        tracker: PitchTracker | None = None,
    ) -> None:
        self.length, self.spec, self.tracker = length, pitch, tracker
        reader = UtteranceReader(sample_rate_hz)
        self.recordings = [
            torch.nn.functional.pad(samples, (0, max(0, length - len(samples))))
            for utterance in utterances
            for samples in [reader.read(utterance).samples[0]]
        ]
        self.contours: dict[int, Frames] = {}
        # Weights by length, so that every second of every recording is equally likely.
        self.weights = torch.tensor([len(samples) for samples in self.recordings], dtype=torch.float64)

    def draw(self, count: int, seed: int, gain_db: float = 0.0) -> tuple[Tensor, Frames | None]:
        """Cut segments at random positions, (count, length), and their pitch, (count, T, 2), if the vocoder reads it.

        The same seed gives the same segments.

        Args:
            count: The number of segments.
            seed: Seed of the choice of segments and gains.
            gain_db: The most that each segment is made louder or quieter, in decibels.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator).tolist()
        positions = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
        rows, contours = [], []
        for index, position in zip(chosen, positions, strict=True):
            samples = self.recordings[index]
            start = int(position * (len(samples) - self.length + 1))
            if self.spec:
                start = start // self.spec.hop_length * self.spec.hop_length
                first = torch.tensor([start // self.spec.hop_length])
                contours.append(self._contour(index, self.spec).slice(first, self.spec.num_frames(self.length)))
            rows.append(samples[start : start + self.length])
        segments = torch.stack(rows)
        if gain_db:
            gains = (2 * torch.rand(count, 1, generator=generator) - 1) * gain_db
            scaled = segments * 10 ** (gains / 20)
            # Without this limit, the vocoder would learn to clip.
            segments = scaled / scaled.abs().amax(dim=1, keepdim=True).clamp(min=1)
        return segments, Frames.batch(contours) if contours else None

    def _contour(self, index: int, spec: MelSpec) -> Frames:
        """The pitch of a recording, which is tracked once."""
        if index not in self.contours:
            recording = Waveform.of(self.recordings[index], spec.sample_rate_hz)
            self.contours[index] = pitch_frames(recording, spec, self.tracker)
        return self.contours[index]
