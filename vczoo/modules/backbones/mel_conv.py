"""`MelConv`, a small convolutional backbone on log-mels for small machines and small datasets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.backbones.mel_backbone import MEL_FRAMES_PER_FRAME, MelBackbone
from vczoo.modules.interfaces.backbone import Stage
from vczoo.modules.pretrained import weights_option

__all__ = ["MelConv"]

MOST_BLOCKS = 256


class MelConv(MelBackbone):
    """Small convolutional backbone. It reads 16 kHz; a frame is 20 ms long.

    A stem halves the frame rate of the mel. Residual blocks of 1-D convolutions follow.

    Args:
        weights: "random", or the path of a .safetensors file.
        width: Number of channels.
        blocks: Number of residual blocks. Each is a stage, after the stem.
        num_mels: Number of bands of the mel that the backbone reads.

    Raises:
        ContractError: A size is below 1, or there are more than 256 blocks.
        WeightsError: `weights` is neither "random" nor a file that fits this network.
    """

    def __init__(self, *, weights: str = "random", width: int = 128, blocks: int = 3, num_mels: int = 80) -> None:
        if min(width, blocks, num_mels) < 1:
            raise ContractError(f"width, blocks and num_mels must be 1 or more, got {width}, {blocks} and {num_mels}")
        if blocks > MOST_BLOCKS:
            raise ContractError(f"blocks must be at most {MOST_BLOCKS}, got {blocks}")
        super().__init__(num_mels)
        stem = nn.Sequential(
            nn.Conv1d(num_mels, width, kernel_size=5, stride=MEL_FRAMES_PER_FRAME, padding=2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )
        self.trunk = nn.ModuleDict(
            {"stem": stem, **{f"block{index + 1}": _Residual(width, dilation=index + 1) for index in range(blocks)}}
        )
        self.layer_stages, self.channel_axis = len(self.trunk), 1
        self.spec = FrameSpec(self.mel_spec.sample_rate_hz, self.mel_spec.hop_length * MEL_FRAMES_PER_FRAME, width)
        if file := weights_option("mel-conv", weights):
            file.load_into(self.trunk)
            self.origin = file.origin

    def stages(self) -> tuple[Stage, ...]:
        """Return the stem and each block."""
        return tuple(Stage(name, module) for name, module in self.trunk.items())

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """Convert to frames: (B, width, T) -> (B, T, width)."""
        return Frames(activation.transpose(1, 2), lengths)


class _Residual(nn.Module):
    """Residual block of two convolutions: (B, width, T) -> (B, width, T)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(width, width, kernel_size=3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, kernel_size=3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = torch.relu(hidden + self.body(hidden))
        return out
