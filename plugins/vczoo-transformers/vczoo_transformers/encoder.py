"""`EncoderBackbone`: a transformer encoder of audio, cut into a feature stage and groups of layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vczoo import Backbone, ContractError, Frames, FrameSpec, Stage, Windows
from vczoo_transformers.windowing import by_rows

__all__ = ["SAMPLE_RATE_HZ", "WINDOW_SECONDS", "EncoderBackbone", "Group", "check_layer", "grouped"]

SAMPLE_RATE_HZ = 16000  # of every encoder in this package
WINDOW_SECONDS = 30  # the length of Whisper's input; the others were trained on shorter recordings
CONTEXT_SHARE = 15  # the context at each cut is this fraction of a window: 2 s of 30 s


class EncoderBackbone(Backbone):
    """The base class of the encoders. Each family defines `prepare`, which makes the input of the first stage.

    Args:
        features: The first stage: output of `prepare` -> (B, T, C).
        groups: The layers up to the one whose output is returned, in stages: (B, T, C) -> (B, T, C).
        hop_length: The number of samples from one frame to the next.
        channels: The number of channels of a frame.
        window_frames: The number of frames in a window.
    """

    def __init__(
        self, features: nn.Module, groups: Sequence[Stage], *, hop_length: int, channels: int, window_frames: int
    ) -> None:
        super().__init__()
        self.trunk = nn.ModuleDict({"features": features} | {stage.name: stage.module for stage in groups})
        self.spec = FrameSpec(SAMPLE_RATE_HZ, hop_length, channels)
        self.layer_stages = len(self.trunk)
        self.windows = Windows(window_frames, window_frames // CONTEXT_SHARE)

    def stages(self) -> tuple[Stage, ...]:
        """`features`, then the layers, `layer3` or `layers1-2`."""
        return tuple(Stage(name, module) for name, module in self.trunk.items())

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """(B * windows, T, C) -> (B, T', C). All items have the same length, because a batch holds only such items."""
        count = int(lengths.max())
        return Frames(self.windows.join(activation, count)[:, :count], lengths)


class Group(nn.Module):
    """Consecutive layers of a transformer: (B, T, C) -> (B, T, C)."""

    def __init__(self, layers: Sequence[nn.Module], last: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.last = last

    def forward(self, frames: Tensor) -> Tensor:
        """Run the layers, and the norm after the model's last layer."""
        return by_rows(self.run, frames, frames.shape[1])

    def run(self, frames: Tensor) -> Tensor:
        """Like `forward`, but with all rows at once."""
        for layer in self.layers:
            frames = self.step(layer, frames)
        return self.last(frames) if self.last is not None else frames

    def step(self, layer: nn.Module, frames: Tensor) -> Tensor:
        """Run one layer and return its frames, which are its first output."""
        output = layer(frames, None)
        return output[0] if isinstance(output, tuple) else output  # type: ignore[no-any-return]


def grouped(num_layers: int, size: int) -> list[tuple[str, range]]:
    """Group layers into stages of `size` layers: their names, which count from 1, and their layers, from 0.

    Raises:
        ContractError: size is below 1.
    """
    if size < 1:
        raise ContractError(f"stage_layers is the number of layers per stage, 1 or more; got {size}")
    stages = []
    for first in range(0, num_layers, size):
        layers = range(first, min(first + size, num_layers))
        name = f"layer{first + 1}" if len(layers) == 1 else f"layers{first + 1}-{layers.stop}"
        stages.append((name, layers))
    return stages


def check_layer(name: str, layer: int | None, num_layers: int) -> int:
    """The number of the layer whose output is returned; None means the last.

    Raises:
        ContractError: The model has no such layer.
    """
    if layer is None:
        return num_layers
    if not 0 <= layer <= num_layers:
        raise ContractError(
            f"{name} has {num_layers} layers: layer is 0 (the input of the first) to {num_layers} (after the last), "
            f"got {layer}"
        )
    return layer
