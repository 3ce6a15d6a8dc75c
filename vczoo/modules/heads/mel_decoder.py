"""Voice head with a trained mel decoder.

It predicts log-mel frames from content without its speaker, pitch and a speaker embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError, VoiceError
from vczoo.modules.interfaces.heads import Loss, Source, VoiceHead
from vczoo.modules.nn.convnext import ConvDecoder, mean_absolute_error
from vczoo.modules.nn.nearest_frames import retrieve

__all__ = ["MelDecoder"]

NEIGHBOURS = 4  # as in kNN-VC
LOUD_NATS = 4.0  # a frame is loud if it is at most this far below the loudest one; pauses are softer
TRUSTED_FRAMES = 25  # with this many loud frames, a band is moved half of the way to the voice
SCALES = (0.5, 2.0)  # smallest and largest factor by which a band's deviation is scaled


class MelDecoder(VoiceHead):
    """ConvNeXt decoder over content and pitch, conditioned on the speaker embedding.

    A bottleneck and instance normalization over time (AdaIN-VC, arXiv:1904.05742) remove the speaker from the content.
    Pitch is a separate input, so that the content need not carry it. The embedding scales and shifts the activations of
    every block (FiLM, arXiv:1709.07871). Most blocks (ConvNeXt, arXiv:2201.03545) run at the content's frame rate and
    the last ones at the mel's frame rate. Training with L1 on the log-mel blurs the output. Therefore, conversion moves
    the mean and deviation of each band over the loud frames towards those of the voice's recordings.

    Args:
        frames: Format of the backbone's frames.
        acoustic: Format of the vocoder's input, which must be a mel.
        embedding_width: Number of channels of the speaker head's embedding.
        bottleneck: Number of channels of the bottleneck.
        width: Number of channels of the decoder.
        blocks: Number of blocks at the content's frame rate.
        fine_blocks: Number of blocks at the mel's frame rate, after the others.
        dropout: Share of the content channels that is dropped in training.
        retrieval: Weight, 0 to 1, with which each content frame is replaced by the voice's nearest frames before
            decoding (as in RVC). Above 0, a voice stores its frames: 5 MB per minute at 384 channels and 50 Hz.

    Raises:
        ContractError: The vocoder does not read a mel, a size is below 1, or `dropout` or `retrieval` is out of range.
    """

    def __init__(
        self,
        *,
        frames: FrameSpec,
        acoustic: MelSpec | FrameSpec,
        embedding_width: int,
        bottleneck: int = 48,
        width: int = 192,
        blocks: int = 5,
        fine_blocks: int = 1,
        dropout: float = 0.1,
        retrieval: float = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(acoustic, MelSpec):
            raise ContractError(
                f"mel-decoder predicts a mel, but the vocoder reads {type(acoustic).__name__} frames; "
                "choose a mel vocoder"
            )
        if bottleneck < 1:
            raise ContractError(f"bottleneck must be 1 or more, got {bottleneck}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout must be in [0, 1), got {dropout}")
        if not 0 <= retrieval <= 1:
            raise ContractError(f"retrieval must be in [0, 1], got {retrieval}")
        self.retrieval, self.frame_rate_hz = retrieval, frames.frame_rate_hz
        self.squeeze = nn.Sequential(nn.LayerNorm(frames.channels), nn.Linear(frames.channels, bottleneck))
        self.dropout = nn.Dropout(dropout)
        self.embedding_width = embedding_width
        self.loud = LOUD_NATS if acoustic.log_base == "e" else LOUD_NATS / math.log(10)
        self.decoder = ConvDecoder(
            frames=frames,
            acoustic=acoustic,
            channels=bottleneck,
            embedding_width=embedding_width,
            width=width,
            blocks=blocks,
            fine_blocks=fine_blocks,
        )

    def decode(self, source: Source, embedding: Tensor) -> Frames:
        """Predict log-mel frames (B, T', num_mels) from the source and speaker embeddings (B, E)."""
        # Not a product with the mask: padding may hold NaN, and NaN times 0 is NaN, in the gradient too.
        values = source.content.values.where(source.content.mask(), 0)
        content = source.content.with_values(self.squeeze(values)).normalise()
        steer = F.normalize(embedding, dim=1) * self.embedding_width**0.5
        mel: Frames = self.decoder(content.with_values(self.dropout(content.values)), source.pitch, steer)
        return mel

    def enroll(self, content: Frames, acoustic: Frames) -> dict[str, Tensor]:
        """Return the statistics of the voice's loud mel frames.

        Returns:
            `mean` and `deviation` of each band over the loud frames of all recordings, (num_mels,) each. With retrieval
            also `frames`, the content frames, (N, C).
        """
        values = acoustic.values[self._loud(acoustic)]
        tensors = {"mean": values.mean(dim=0), "deviation": values.std(dim=0, correction=0)}
        return tensors | ({"frames": content.values[content.mask()[..., 0]]} if self.retrieval else {})

    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """Convert recordings to a voice: (B, T, C) -> (B, T', num_mels).

        Raises:
            VoiceError: The voice has no speaker embedding.
        """
        return self.convert_mix(source, [(voice, 1.0)])

    def convert_mix(self, source: Source, voices: Sequence[tuple[Mapping[str, Tensor], float]]) -> Frames:
        """Convert to a mix of voices, with the mean of their embeddings and statistics, weighted by their shares.

        Raises:
            VoiceError: A voice has no speaker embedding.
        """
        if any("embedding" not in voice for voice, _ in voices):
            raise VoiceError("this voice has no speaker embedding; enroll it with recordings: vc.enroll(name, files)")
        mixed = {
            name: torch.stack([share * voice[name] for voice, share in voices]).sum(dim=0)
            for name in ("embedding", "mean", "deviation")
            if all(name in voice for voice, _ in voices)
        }
        if self.retrieval and all("frames" in voice for voice, _ in voices):
            source = replace(source, content=self._retrieved(source.content, voices))
        mel = self.decode(source, mixed["embedding"].expand(len(source.content), -1))
        return self.matched(mel, mixed["mean"], mixed["deviation"]) if "mean" in mixed else mel

    def _retrieved(self, content: Frames, voices: Sequence[tuple[Mapping[str, Tensor], float]]) -> Frames:
        """Interpolate from the content to the voices' nearest frames, averaged by the shares, by `self.retrieval`."""
        retrieved = [
            share * retrieve(content, self.frame_rate_hz, voice["frames"], NEIGHBOURS).values for voice, share in voices
        ]
        return content.with_values(torch.lerp(content.values, torch.stack(retrieved).sum(dim=0), self.retrieval))

    def _loud(self, mel: Frames) -> Tensor:
        """Return a mask (B, T), bool: true for frames that are not much softer than the loudest frame of the item."""
        level = mel.values.mean(dim=2).where(mel.mask()[..., 0], -math.inf)
        return level > level.amax(dim=1, keepdim=True) - self.loud

    def statistics(self, acoustic: Frames) -> tuple[Tensor, Tensor]:
        """Return the mean and deviation of each band over the loud frames of each item, (B, num_mels) each."""
        items = [values[loud] for values, loud in zip(acoustic.values, self._loud(acoustic), strict=True)]
        return torch.stack([item.mean(dim=0) for item in items]), torch.stack([_deviation(item) for item in items])

    def matched(self, mel: Frames, mean: Tensor, deviation: Tensor) -> Frames:
        """Move the mean and deviation of each band over the loud frames towards those of a voice.

        The overall level of the source stays. A mean over few frames is not reliable, so bands move less if few frames
        are loud.

        Args:
            mel: Log-mels, (B, T', num_mels).
            mean: The means of the voice, (num_mels,), or of one voice for each item, (B, num_mels).
            deviation: The deviations, of the same shape.
        """
        means, deviations = (values.expand(len(mel.values), -1) for values in (mean, deviation))
        items = []
        for values, loud, mean, deviation in zip(mel.values, self._loud(mel), means, deviations, strict=True):
            count = loud.sum()
            trust = count / (count + TRUSTED_FRAMES)
            own, spread = values[loud].mean(dim=0), _deviation(values[loud])
            shift = mean - own
            scale = 1 + trust * ((deviation / spread).clamp(*SCALES) - 1)
            items.append((values - own) * scale + own + trust * (shift - shift.mean()))
        return mel.with_values(torch.stack(items))

    def loss(self, source: Source, embedding: Tensor | None, target: Frames) -> Loss:
        """Return the mean absolute error between log-mels over valid frames.

        Raises:
            ContractError: The recipe has no speaker head, so there is no embedding.
        """
        if embedding is None:
            raise ContractError("mel-decoder needs the embedding of a speaker head; add a speaker head to the recipe")
        predicted = self.decode(source, embedding)
        error = mean_absolute_error(predicted, target)
        return Loss(error, {"l1": error.detach()}, predicted)


def _deviation(values: Tensor) -> Tensor:
    """The deviation of each band, at least 0.001, so that equal frames have a gradient: (T, bands) -> (bands,)."""
    return values.var(dim=0, correction=0).clamp(min=1e-6).sqrt()
