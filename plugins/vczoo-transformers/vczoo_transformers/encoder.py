"""`EncoderBackbone`: a transformer over audio, in stages: what makes its first input, then groups of its layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vczoo import Backbone, ContractError, Frames, FrameSpec, Stage
from vczoo_transformers.windows import Windows, by_rows

__all__ = ["SAMPLE_RATE_HZ", "WINDOW_SECONDS", "EncoderBackbone", "Group", "check_layer", "grouped"]

SAMPLE_RATE_HZ = 16000  # of every encoder here
WINDOW_SECONDS = 30  # what Whisper reads at once; the others were trained on less, and read as much
CONTEXT_SHARE = 15  # a window's part that is context at each of its cuts: 2 s of 30


class EncoderBackbone(Backbone):
    """What the encoders share; each family says how a waveform becomes the input of its first stage.

    Args:
        features: the first stage: what `prepare` gives -> (B, T, C).
        groups: the layers up to the one that is read, in stages, (B, T, C) -> (B, T, C).
        hop_length: samples from one frame to the next.
        channels: width of a frame.
        window_frames: frames that are read at once.
    """

    def __init__(
        self, features: nn.Module, groups: Sequence[Stage], *, hop_length: int, channels: int, window_frames: int
    ) -> None:
        super().__init__()
        self.trunk = nn.ModuleDict({"features": features} | {stage.name: stage.module for stage in groups})
        self.spec = FrameSpec(SAMPLE_RATE_HZ, hop_length, channels)
        self.windows = Windows(window_frames, window_frames // CONTEXT_SHARE)

    def stages(self) -> tuple[Stage, ...]:
        """`features`, then the layers, `layer3` or `layers1-2`."""
        return tuple(Stage(name, module) for name, module in self.trunk.items())

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        """(B * windows, T, C) -> (B, T', C). All items are of one length: nothing else shares a batch."""
        count = int(lengths.max())
        return Frames(self.windows.join(activation, count)[:, :count], lengths)


class Group(nn.Module):
    """Some layers of a transformer, one after the other: (B, T, C) -> (B, T, C)."""

    def __init__(self, layers: Sequence[nn.Module], last: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.last = last

    def forward(self, frames: Tensor) -> Tensor:
        """Run the layers, and what stands after the model's last one."""
        return by_rows(self.run, frames, frames.shape[1])

    def run(self, frames: Tensor) -> Tensor:
        """As `forward`, all rows at once."""
        for layer in self.layers:
            frames = self.step(layer, frames)
        return self.last(frames) if self.last is not None else frames

    def step(self, layer: nn.Module, frames: Tensor) -> Tensor:
        """Run one layer, whose first output are its frames."""
        made = layer(frames, None)
        return made[0] if isinstance(made, tuple) else made  # type: ignore[no-any-return]


def grouped(num_layers: int, size: int) -> list[tuple[str, range]]:
    """The stages of so many layers, `size` in each: their names, which count from 1, and the layers, from 0.

    Raises:
        ContractError: size is below 1.
    """
    if size < 1:
        raise ContractError(f"stage_layers is how many layers make a stage, 1 or more; got {size}")
    found = []
    for first in range(0, num_layers, size):
        layers = range(first, min(first + size, num_layers))
        name = f"layer{first + 1}" if len(layers) == 1 else f"layers{first + 1}-{layers.stop}"
        found.append((name, layers))
    return found


def check_layer(name: str, layer: int | None, num_layers: int) -> int:
    """The layer that is read; None is the last.

    Raises:
        ContractError: the model has no such layer.
    """
    if layer is None:
        return num_layers
    if not 0 <= layer <= num_layers:
        raise ContractError(
            f"{name} has {num_layers} layers: layer is 0 (what enters the first) to {num_layers} (after the last), "
            f"got {layer}"
        )
    return layer
