"""`ContentConv`: a small ConvNeXt on log-mels that learns what is said, not by whom."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.io.tensors import load_strictly, read_tensors
from vczoo.modules.backbones.mel_backbone import MEL_FRAMES_PER_FRAME, MelBackbone
from vczoo.modules.interfaces.backbone import Stage
from vczoo.modules.nn.perturbation import Perturbation
from vczoo.registry.origin import Origin
from vczoo.registry.weights import choose_weights, is_weights_file

__all__ = ["ContentConv"]

MOST_BLOCKS = 256
KERNEL = 7
DILATIONS = (1, 2, 4)  # of the blocks, and again
EXPANSION = 3


class ContentConv(MelBackbone):
    """A stem that halves time, ConvNeXt blocks, and a narrow layer whose frames are content; 20 ms a frame at 16 kHz.

    In training the stem gets its input as another speaker might say it (`vczoo.modules.nn.perturbation`). Content comes
    out with each channel's mean and deviation over the recording taken away (instance normalization, AdaIN-VC,
    arXiv:1904.05742). Source of the blocks: ConvNeXt, arXiv:2201.03545.

    Args:
        weights: random, or a path to a .safetensors file.
        width: channels of the blocks.
        blocks: how many, a stage each between the stem and the last layer.
        channels: of the content.
        num_mels: bands of the mel that it reads.
        perturb: strength of the perturbation in training, 0 to 1.

    Raises:
        ContractError: a size below 1, more than 256 blocks, or a strength out of range.
        WeightsError: weights that are neither random nor a file that fits.
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
                f"width, blocks, channels and num_mels are 1 or more, got {width}, {blocks}, {channels} and {num_mels}"
            )
        if blocks > MOST_BLOCKS:
            raise ContractError(f"blocks is at most {MOST_BLOCKS}, got {blocks}")
        if not 0 <= perturb <= 1:
            raise ContractError(f"perturb is a strength in [0, 1], got {perturb}")
        super().__init__(num_mels)
        nats = abs(math.log(self.mel_spec.floor)) / 2
        stem = nn.Sequential(
            Perturbation(self.mel_spec, nats=nats, strength=perturb),
            nn.Conv1d(num_mels, width, kernel_size=5, stride=MEL_FRAMES_PER_FRAME, padding=2),
            _Norm(width),
        )
        last = nn.Sequential(_Norm(width), nn.Conv1d(width, channels, kernel_size=1))
        self.trunk = nn.ModuleDict(
            {
                "stem": stem,
                **{f"block{index + 1}": _Block(width, DILATIONS[index % len(DILATIONS)]) for index in range(blocks)},
                "content": last,
            }
        )
        self.spec = FrameSpec(self.mel_spec.sample_rate_hz, self.mel_spec.hop_length * MEL_FRAMES_PER_FRAME, channels)
        if is_weights_file(weights):
            load_strictly(self.trunk, read_tensors(weights), where=weights)
            self.origin = Origin.of_path(weights)
        elif weights != "random":
            choose_weights("content-conv", weights, ())

    def stages(self) -> tuple[Stage, ...]:
        """The stem, each block, and the layer that narrows to content."""
        return tuple(Stage(name, module) for name, module in self.trunk.items())

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """(B, channels, T) -> (B, T, channels), each channel of mean 0 and deviation 1 over time."""
        return Frames(activation.transpose(1, 2), lengths).normalise()


class _Norm(nn.Module):
    """Layer norm over the channels of (B, C, T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.norm(hidden.transpose(1, 2)).transpose(1, 2)
        return out


class _Block(nn.Module):
    """(B, width, T) -> (B, width, T)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(
            width, width, KERNEL, dilation=dilation, padding=dilation * (KERNEL // 2), groups=width
        )
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, EXPANSION * width)
        self.narrow = nn.Linear(EXPANSION * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        mixed = self.norm(self.convolution(hidden).transpose(1, 2))
        out: Tensor = hidden + self.narrow(F.gelu(self.widen(mixed))).transpose(1, 2)
        return out
