"""`ConvNeXtBlock`, the residual block of ConvNeXt in time, in every variant that vczoo and its plugins use."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ConvNeXtBlock", "LayerNames"]

KERNEL = 7
EXPANSION = 3


class LayerNames(NamedTuple):
    """Names of a block's layers, and so of its tensors in saved runs.

    Attributes:
        convolution: The depthwise convolution in time.
        norm: The layer normalization.
        widen: The first linear layer.
        narrow: The second linear layer.
        scale: The factor of the block's output, if there is one.
    """

    convolution: str = "convolution"
    norm: str = "norm"
    widen: str = "widen"
    narrow: str = "narrow"
    scale: str = "scale"


class ConvNeXtBlock(nn.Module):
    """Residual ConvNeXt block in time: (B, T, width) -> (B, T, width), or (B, width, T) if channels come first.

    A subclass may set `names`, so that the files of another library load without renaming.

    Source: ConvNeXt, arXiv:2201.03545; the conditioning is FiLM, arXiv:1709.07871.

    Args:
        width: Number of channels of input and output.
        hidden: Number of channels inside the block; None for three times `width`.
        dilation: Dilation of the convolution, in frames.
        scale: Initial value of the factors, one per channel, by which the output is multiplied before the input is
            added; None for no such factors.
        embedding_width: Number of channels of the embedding that scales and shifts the activations; 0 for none.
        epsilon: Epsilon of the layer normalization.
        channels_first: Whether input and output are (B, width, T).
    """

    names: ClassVar[LayerNames] = LayerNames()

    def __init__(
        self,
        width: int,
        *,
        hidden: int | None = None,
        dilation: int = 1,
        scale: float | None = None,
        embedding_width: int = 0,
        epsilon: float = 1e-5,
        channels_first: bool = False,
    ) -> None:
        super().__init__()
        hidden = EXPANSION * width if hidden is None else hidden
        convolution = nn.Conv1d(width, width, KERNEL, dilation=dilation, padding=dilation * (KERNEL // 2), groups=width)
        self.add_module(self.names.convolution, convolution)
        self.add_module(self.names.norm, nn.LayerNorm(width, eps=epsilon))
        self.film = nn.Linear(embedding_width, 2 * width) if embedding_width else None
        self.add_module(self.names.widen, nn.Linear(width, hidden))
        self.add_module(self.names.narrow, nn.Linear(hidden, width))
        self.scaled = scale is not None
        if scale is not None:
            self.register_parameter(self.names.scale, nn.Parameter(torch.full((width,), scale)))
        self.channels_first = channels_first

    def forward(self, frames: Tensor, mask: Tensor | None = None, embedding: Tensor | None = None) -> Tensor:
        """Apply the block.

        Args:
            frames: The input, (B, T, width), or (B, width, T) if channels come first.
            mask: True for frames before the end of their item, in a shape that broadcasts to that of `frames`. The
                convolution reads zeros instead of the others, as it would if the item were not in a batch.
            embedding: Embeddings, (B, embedding_width); None for a block without embedding.
        """
        valid = frames if mask is None else frames.where(mask, 0)
        if self.channels_first:
            return frames + self._residual(valid, embedding).transpose(1, 2)
        return frames + self._residual(valid.transpose(1, 2), embedding)

    def _residual(self, valid: Tensor, embedding: Tensor | None) -> Tensor:
        """What is added to the input: (B, width, T) -> (B, T, width)."""
        layers: Any = [getattr(self, name) for name in self.names[:4]]
        convolution, norm, widen, narrow = layers
        normed = norm(convolution(valid).transpose(1, 2))
        if self.film is not None:
            assert embedding is not None
            gain, shift = self.film(embedding)[:, None].chunk(2, dim=2)
            normed = normed * (1 + gain) + shift
        residual: Tensor = narrow(F.gelu(widen(normed)))
        return getattr(self, self.names.scale) * residual if self.scaled else residual
