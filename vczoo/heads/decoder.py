"""Mel decoder voice head: content without its speaker, pitch and a speaker embedding in, log-mel frames out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.convnext import ConvDecoder, mean_absolute_error
from vczoo.errors import ContractError, VoiceError
from vczoo.frames import Frames
from vczoo.interfaces import Loss, Source, VoiceHead
from vczoo.specs import FrameSpec, MelSpec

__all__ = ["MelDecoder"]


class MelDecoder(VoiceHead):
    """ConvNeXt blocks over content and pitch, steered by the speaker embedding.

    Content loses its speaker on the way: a bottleneck, then instance normalisation over time (AdaIN-VC,
    arXiv:1904.05742), and pitch comes apart so that it need not hide in the content. The embedding scales and
    shifts every block (FiLM, arXiv:1709.07871). Most blocks (ConvNeXt, arXiv:2201.03545) run at the content's
    frame rate and the last ones at that of the mel. Trained with L1 on the log-mel.

    Args:
        frames: what the backbone makes.
        acoustic: what the vocoder reads; it must be a mel.
        embedding_width: of the recipe's speaker head.
        bottleneck: channels that content is squeezed through.
        width: channels of the decoder.
        blocks: blocks at the content's frame rate.
        fine_blocks: blocks at the mel's frame rate, after them.
        dropout: share of content channels dropped in training.

    Raises:
        ContractError: the vocoder does not read a mel, a size is below 1, or dropout is outside [0, 1).
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
    ) -> None:
        super().__init__()
        if not isinstance(acoustic, MelSpec):
            raise ContractError(f"mel-decoder makes a mel, the vocoder reads {type(acoustic).__name__}s")
        if bottleneck < 1:
            raise ContractError(f"bottleneck is 1 or more, got {bottleneck}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout is a share in [0, 1), got {dropout}")
        self.squeeze = nn.Sequential(nn.LayerNorm(frames.channels), nn.Linear(frames.channels, bottleneck))
        self.dropout = nn.Dropout(dropout)
        self.embedding_width = embedding_width
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
        embedding = torch.stack([share * voice["embedding"] for voice, share in voices]).sum(dim=0)
        return self.decode(source, embedding.expand(len(source.content), -1))

    def loss(self, source: Source, embedding: Tensor | None, target: Frames) -> Loss:
        """L1 between log-mels over valid frames."""
        if embedding is None:
            raise ContractError("mel-decoder needs a speaker head in the recipe: its embedding is the voice")
        error = mean_absolute_error(self.decode(source, embedding), target)
        return Loss(error, {"l1": error.detach()})
