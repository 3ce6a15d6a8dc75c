"""The Vocos vocoder: ConvNeXt blocks predict a spectrum from a log-mel, and an inverse STFT makes the waveform.

The blocks run at the frame rate of the mel and predict the magnitude and phase of each frame. The architecture and the
names of the tensors are those of the `vocos` library (Siuzdak, arXiv:2306.00814; MIT license), whose files load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vczoo import ContractError, ConvNeXtBlock, Frames, LayerNames, MelSpec, Vocoder, Waveform

__all__ = ["Vocos"]

LARGEST_MAGNITUDE = 100.0  # the exponential of an untrained or badly trained network can be any size
NORM_EPSILON = 1e-6
MOST_BLOCKS = 256


class Vocos(Vocoder):
    """Vocos with a magnitude-and-phase head and centered frames.

    Args:
        accepts: The mel that it reads.
        width: The number of channels between the blocks.
        hidden: The number of channels inside a block.
        blocks: The number of blocks, at most 256.

    Raises:
        ContractError: A size is below 1, blocks is above 256, or the windows of the mel overlap by less than half.
    """

    window: Tensor

    def __init__(self, accepts: MelSpec, *, width: int, hidden: int, blocks: int) -> None:
        super().__init__()
        if min(width, hidden, blocks) < 1:
            raise ContractError(f"width and blocks are 1 or more, got width={width}, blocks={blocks}")
        if blocks > MOST_BLOCKS:
            raise ContractError(f"blocks is at most {MOST_BLOCKS}, got {blocks}")
        if accepts.hop_length > accepts.fft_length // 2:
            raise ContractError(
                f"hop_length is at most half of fft_length {accepts.fft_length}, or the windows leave gaps in the "
                f"waveform; got {accepts.hop_length}"
            )
        self.accepts: MelSpec = accepts
        self.backbone = ConvNeXt(accepts.num_mels, width, hidden, blocks)
        self.head = nn.ModuleDict({"out": nn.Linear(width, accepts.fft_length + 2)})
        self.register_buffer("window", torch.hann_window(accepts.fft_length), persistent=False)

    def forward(self, frames: Frames) -> Waveform:
        """(B, T, num_mels) -> (B, (T - 1) * hop_length).

        Items of different lengths run one by one, because a convolution would read the padding past an item's end.
        """
        counts = frames.lengths.tolist()
        rate = self.accepts.sample_rate_hz
        if len(set(counts)) == 1:
            return Waveform.of(self._decode(frames.values[:, : counts[0]]), rate)
        return Waveform.batch([Waveform.of(self._decode(frames[index].values), rate) for index in range(len(frames))])

    def _decode(self, mel: Tensor) -> Tensor:
        values: Tensor = self.head["out"](self.backbone(mel))
        log_magnitude, phase = values.transpose(1, 2).float().chunk(2, dim=1)
        if mel.shape[1] == 1:  # samples lie between centered frames, so one frame has none
            return log_magnitude.new_zeros(mel.shape[0], 0)
        spectrum = torch.polar(log_magnitude.exp().clamp(max=LARGEST_MAGNITUDE), phase)
        fft, hop = self.accepts.fft_length, self.accepts.hop_length
        samples: Tensor = torch.istft(spectrum, fft, hop, fft, self.window, center=True)
        return samples


class ConvNeXt(nn.Module):
    """(B, T, num_mels) -> (B, T, width)."""

    def __init__(self, num_mels: int, width: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(num_mels, width, kernel_size=7, padding=3)
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.convnext = nn.ModuleList(
            Block(width, hidden=hidden, scale=1 / blocks, epsilon=NORM_EPSILON) for _ in range(blocks)
        )
        self.final_layer_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, T, num_mels) -> (B, T, width)."""
        frames = self.norm(self.embed(mel.transpose(1, 2)).transpose(1, 2))
        for block in self.convnext:
            frames = block(frames)
        return self.final_layer_norm(frames)  # type: ignore[no-any-return]


class Block(ConvNeXtBlock):
    """A ConvNeXt block whose tensors have the names of the `vocos` library."""

    names = LayerNames("dwconv", "norm", "pwconv1", "pwconv2", "gamma")
