"""`ContentConv`, a small ConvNeXt backbone on log-mels whose frames hold what is said but not by which speaker."""

from __future__ import annotations

import math

from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.backbones.mel_backbone import MEL_FRAMES_PER_FRAME, MelBackbone
from vczoo.modules.interfaces.backbone import Stage
from vczoo.modules.nn.convnext_block import ConvNeXtBlock
from vczoo.modules.nn.perturbation import Perturbation
from vczoo.modules.pretrained import weights_option

__all__ = ["ContentConv", "Norm"]

MOST_BLOCKS = 256
DILATIONS = (1, 2, 4)  # dilations of successive blocks, repeated


class ContentConv(MelBackbone):
    """Small ConvNeXt backbone that removes the speaker from its frames. It reads 16 kHz; a frame is 20 ms long.

    A stem halves the frame rate of the mel. ConvNeXt blocks follow, then a narrow layer whose output is the content. In
    training, the stem reads log-mels perturbed as if another speaker said the same (`vczoo.modules.nn.perturbation`).
    Each channel of the content is normalized over the recording (instance normalization, AdaIN-VC, arXiv:1904.05742).
    Source of the blocks: ConvNeXt, arXiv:2201.03545.

    Args:
        weights: "random", or the path of a .safetensors file.
        width: Number of channels of the blocks.
        blocks: Number of blocks. Each is a stage, between the stem and the last layer.
        channels: Number of channels of the content.
        num_mels: Number of bands of the mel that the backbone reads.
        perturb: Strength of the perturbation in training, 0 to 1.

    Raises:
        ContractError: A size is below 1, there are more than 256 blocks, or `perturb` is out of range.
        WeightsError: `weights` is neither "random" nor a file that fits this network.
    """

    def __init__(
        self,
        *,
        weights: str = "random",
        width: int = 192,
        blocks: int = 9,
        channels: int = 96,
        num_mels: int = 80,
        perturb: float = 1.0,
    ) -> None:
        if min(width, blocks, channels, num_mels) < 1:
            raise ContractError(
                "width, blocks, channels and num_mels must be 1 or more, "
                f"got {width}, {blocks}, {channels} and {num_mels}"
            )
        if blocks > MOST_BLOCKS:
            raise ContractError(f"blocks must be at most {MOST_BLOCKS}, got {blocks}")
        if not 0 <= perturb <= 1:
            raise ContractError(f"perturb must be in [0, 1], got {perturb}")
        super().__init__(num_mels)
        nats = abs(math.log(self.mel_spec.floor)) / 2
        stem = nn.Sequential(
            Perturbation(self.mel_spec, nats=nats, strength=perturb),
            nn.Conv1d(num_mels, width, kernel_size=5, stride=MEL_FRAMES_PER_FRAME, padding=2),
            Norm(width),
        )
        last = nn.Sequential(Norm(width), nn.Conv1d(width, channels, kernel_size=1))
        self.trunk = nn.ModuleDict(
            {
                "stem": stem,
                **{
                    f"block{index + 1}": ConvNeXtBlock(
                        width, dilation=DILATIONS[index % len(DILATIONS)], channels_first=True
                    )
                    for index in range(blocks)
                },
                "content": last,
            }
        )
        self.spec = FrameSpec(self.mel_spec.sample_rate_hz, self.mel_spec.hop_length * MEL_FRAMES_PER_FRAME, channels)
        if file := weights_option("content-conv", weights):
            file.load_into(self.trunk)
            self.origin = file.origin

    def stages(self) -> tuple[Stage, ...]:
        """Return the stem, each block, and the last layer, which computes the content."""
        return tuple(Stage(name, module) for name, module in self.trunk.items())

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """Convert to frames, (B, channels, T) -> (B, T, channels), and normalize each channel over time."""
        return Frames(activation.transpose(1, 2), lengths).normalise()


class Norm(nn.Module):
    """Layer normalization over the channels of (B, C, T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize over the channels."""
        out: Tensor = self.norm(hidden.transpose(1, 2)).transpose(1, 2)
        return out
