"""Mel decoder voice head: content without its speaker, pitch and a speaker embedding in, log-mel frames out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.errors import ContractError, VoiceError
from vczoo.frames import Frames
from vczoo.interfaces import Loss, Source, VoiceHead
from vczoo.specs import FrameSpec, MelSpec

__all__ = ["MelDecoder"]


class MelDecoder(VoiceHead):
    """Gated dilated convolutions over content and pitch, steered by the speaker embedding.

    Content loses its speaker on the way: a bottleneck, then instance normalisation over time (AdaIN-VC,
    arXiv:1904.05742), and pitch comes apart so that it need not hide in the content. The embedding scales and
    shifts every block (FiLM, arXiv:1709.07871). Trained with L1 on the log-mel.

    Args:
        frames: what the backbone makes.
        acoustic: what the vocoder reads; it must be a mel.
        embedding_width: of the recipe's speaker head.
        bottleneck: channels that content is squeezed through.
        width: channels of the decoder.
        blocks: number of blocks; dilations go 1, 2, 4, 8 and again.
        dropout: share of content channels dropped in training.

    Raises:
        ContractError: the vocoder does not read a mel, sample rates differ, a size is below 1, or dropout is
            outside [0, 1).
    """

    def __init__(
        self,
        *,
        frames: FrameSpec,
        acoustic: MelSpec | FrameSpec,
        embedding_width: int,
        bottleneck: int = 48,
        width: int = 192,
        blocks: int = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not isinstance(acoustic, MelSpec):
            raise ContractError(f"mel-decoder makes a mel, the vocoder reads {type(acoustic).__name__}s")
        if frames.sample_rate_hz != acoustic.sample_rate_hz:
            raise ContractError(
                f"content frames come from {frames.sample_rate_hz} Hz, the vocoder reads {acoustic.sample_rate_hz} Hz"
            )
        if min(bottleneck, width, blocks) < 1:
            raise ContractError(f"bottleneck, width and blocks are 1 or more, got {bottleneck}, {width} and {blocks}")
        if not 0 <= dropout < 1:
            raise ContractError(f"dropout is a share in [0, 1), got {dropout}")
        self.acoustic_per_content = acoustic.hop_length / frames.hop_length
        self.embedding_width = embedding_width
        self.squeeze = nn.Sequential(nn.LayerNorm(frames.channels), nn.Linear(frames.channels, bottleneck))
        self.dropout = nn.Dropout(dropout)
        self.enter = nn.Linear(bottleneck + 2, width)
        self.blocks = nn.ModuleList(
            _Block(width, embedding_width, dilation=2 ** (index % 4)) for index in range(blocks)
        )
        last = nn.Linear(width, acoustic.num_mels)
        self.exit = nn.Sequential(nn.LayerNorm(width), last)
        # Start at the level of quiet speech rather than at 0, which is as loud as log-mels get.
        nn.init.constant_(last.bias, -6.0)

    def decode(self, source: Source, embedding: Tensor) -> Frames:
        """Source and embedding (B, E) -> log-mel (B, T', num_mels)."""
        # Padding may hold NaN, which no product with a mask takes away, nor a gradient of 0.
        given = source.content.values.where(source.content.mask(), 0)
        content = source.content.with_values(self.squeeze(given)).normalise()
        content = content.resize(source.pitch.lengths, self.acoustic_per_content)
        pitch = source.pitch.values[:, : content.values.shape[1]].where(content.mask(), 0)
        hidden = self.enter(torch.cat([self.dropout(content.values), pitch], dim=2)).transpose(1, 2)
        mask = content.mask().transpose(1, 2)
        steer = F.normalize(embedding, dim=1) * self.embedding_width**0.5
        for block in self.blocks:
            hidden = block(hidden, steer, mask)
        return content.with_values(self.exit(hidden.transpose(1, 2)))

    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """(B, T, C) -> (B, T', num_mels).

        Raises:
            VoiceError: the voice has no speaker embedding.
        """
        if "embedding" not in voice:
            raise VoiceError("this voice has no speaker embedding; enrol it with recordings: vc.enroll(name, files)")
        return self.decode(source, voice["embedding"].expand(len(source.content), -1))

    def loss(self, source: Source, embedding: Tensor | None, target: Frames) -> Loss:
        """L1 between log-mels over valid frames."""
        if embedding is None:
            raise ContractError("mel-decoder needs a speaker head in the recipe: its embedding is the voice")
        made = self.decode(source, embedding)
        mask = target.mask()
        error = (made.values - target.values).abs().where(mask, 0).sum() / (mask.sum() * target.channels)
        return Loss(error, {"l1": error.detach()})


class _Block(nn.Module):
    """One residual gated convolution under FiLM: (B, width, T) -> (B, width, T)."""

    def __init__(self, width: int, embedding_width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.film = nn.Linear(embedding_width, 2 * width)
        self.convolution = nn.Conv1d(width, 2 * width, kernel_size=3, dilation=dilation, padding=dilation)
        self.out = nn.Conv1d(width, width, kernel_size=1)

    def forward(self, hidden: Tensor, steer: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm(hidden.transpose(1, 2)).transpose(1, 2)
        scale, shift = self.film(steer)[..., None].chunk(2, dim=1)
        # Zeros past the end, as the convolution sees them for a recording that stands alone.
        steered = (normed * (1 + scale) + shift) * mask
        gated = F.glu(self.convolution(steered), dim=1)
        added: Tensor = hidden + self.out(gated)
        return added
