"""Mel decoder voice head: content without its speaker, pitch and a speaker embedding in, log-mel frames out."""

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
LOUD_NATS = 4.0  # below the loudest frame: speech, not its pauses
TRUSTED_FRAMES = 25  # so many loud frames count half
SCALES = (0.5, 2.0)  # a band's deviation is never scaled further


class MelDecoder(VoiceHead):
    """ConvNeXt blocks over content and pitch, steered by the speaker embedding.

    Content loses its speaker on the way: a bottleneck, then instance normalisation over time (AdaIN-VC,
    arXiv:1904.05742), and pitch comes apart so that it need not hide in the content. The embedding scales and
    shifts every block (FiLM, arXiv:1709.07871). Most blocks (ConvNeXt, arXiv:2201.03545) run at the content's
    frame rate and the last ones at that of the mel. Trained with L1 on the log-mel, which blurs: so each band's mean
    and deviation over the loud frames are moved to those of the voice's recordings.

    Args:
        frames: what the backbone makes.
        acoustic: what the vocoder reads; it must be a mel.
        embedding_width: of the recipe's speaker head.
        bottleneck: channels that content is squeezed through.
        width: channels of the decoder.
        blocks: blocks at the content's frame rate.
        fine_blocks: blocks at the mel's frame rate, after them.
        dropout: share of content channels dropped in training.
        retrieval: share of the content that is replaced, before it is decoded, by the voice's own nearest frames (the
            retrieval of RVC); a voice then keeps its frames, 5 MB a minute at 384 channels and 50 Hz. 0 keeps none.

    Raises:
        ContractError: the vocoder does not read a mel, a size is below 1, or a share is out of range.
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
            raise ContractError(f"mel-decoder makes a mel, the vocoder reads {type(acoustic).__name__}s")
        if bottleneck < 1:
            raise ContractError(f"bottleneck is 1 or more, got {bottleneck}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout is a share in [0, 1), got {dropout}")
        if not 0 <= retrieval <= 1:
            raise ContractError(f"retrieval is a share in [0, 1], got {retrieval}")
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
        """Source and embedding (B, E) -> log-mel (B, T', num_mels)."""
        # Padding may hold NaN, which no product with a mask takes away, nor a gradient of 0.
        given = source.content.values.where(source.content.mask(), 0)
        content = source.content.with_values(self.squeeze(given)).normalise()
        steer = F.normalize(embedding, dim=1) * self.embedding_width**0.5
        made: Frames = self.decoder(content.with_values(self.dropout(content.values)), source.pitch, steer)
        return made

    def enroll(self, content: Frames, acoustic: Frames) -> dict[str, Tensor]:
        """`mean` and `deviation` of each band over the loud frames of all recordings, (num_mels,) each.

        With retrieval also `frames`, (N, C), the content itself.
        """
        values = acoustic.values[self._loud(acoustic)]
        kept = {"mean": values.mean(dim=0), "deviation": values.std(dim=0, correction=0)}
        return kept | ({"frames": content.values[content.mask()[..., 0]]} if self.retrieval else {})

    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """(B, T, C) -> (B, T', num_mels).

        Raises:
            VoiceError: the voice has no speaker embedding.
        """
        return self.convert_mix(source, [(voice, 1.0)])

    def convert_mix(self, source: Source, voices: Sequence[tuple[Mapping[str, Tensor], float]]) -> Frames:
        """Convert into the voice whose embedding lies between those of the voices, by their shares.

        Raises:
            VoiceError: a voice has no speaker embedding.
        """
        if any("embedding" not in voice for voice, _ in voices):
            raise VoiceError("this voice has no speaker embedding; enrol it with recordings: vc.enroll(name, files)")
        mixed = {
            name: torch.stack([share * voice[name] for voice, share in voices]).sum(dim=0)
            for name in ("embedding", "mean", "deviation")
            if all(name in voice for voice, _ in voices)
        }
        if self.retrieval and all("frames" in voice for voice, _ in voices):
            source = replace(source, content=self._retrieved(source.content, voices))
        made = self.decode(source, mixed["embedding"].expand(len(source.content), -1))
        return self._match(made, mixed["mean"], mixed["deviation"]) if "mean" in mixed else made

    def _retrieved(self, content: Frames, voices: Sequence[tuple[Mapping[str, Tensor], float]]) -> Frames:
        """Content, `retrieval` of it from the voices' own frames, from each by its share."""
        found = [
            share * retrieve(content, self.frame_rate_hz, voice["frames"], NEIGHBOURS).values for voice, share in voices
        ]
        return content.with_values(torch.lerp(content.values, torch.stack(found).sum(dim=0), self.retrieval))

    def _loud(self, mel: Frames) -> Tensor:
        """(B, T) bool: frames that are little softer than the item's loudest."""
        level = mel.values.mean(dim=2).where(mel.mask()[..., 0], -math.inf)
        return level > level.amax(dim=1, keepdim=True) - self.loud

    def _match(self, mel: Frames, mean: Tensor, deviation: Tensor) -> Frames:
        """Move each band's mean and deviation over the loud frames to a voice's; the level stays that of the source.

        A few frames say little of a mean: the fewer are loud, the less is moved.
        """
        items = []
        for index, loud in enumerate(self._loud(mel)):
            values, count = mel.values[index], loud.sum()
            trust = count / (count + TRUSTED_FRAMES)
            own, spread = values[loud].mean(dim=0), values[loud].std(dim=0, correction=0)
            shift = mean - own
            scale = 1 + trust * ((deviation / spread.clamp(min=1e-3)).clamp(*SCALES) - 1)
            items.append((values - own) * scale + own + trust * (shift - shift.mean()))
        return mel.with_values(torch.stack(items))

    def loss(self, source: Source, embedding: Tensor | None, target: Frames) -> Loss:
        """L1 between log-mels over valid frames."""
        if embedding is None:
            raise ContractError("mel-decoder needs a speaker head in the recipe: its embedding is the voice")
        error = mean_absolute_error(self.decode(source, embedding), target)
        return Loss(error, {"l1": error.detach()})
