"""`Frames`: a padded batch of frame sequences, (B, T, C), with masks, resampling in time, pooling and normalization.

Every method uses only an item's valid frames, so a batch gives the same results as its items one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vczoo.audio.pytrees import register_tensors
from vczoo.errors import ContractError

__all__ = ["Frames"]


@dataclass(frozen=True, repr=False)
class Frames:
    """A batch of frame sequences.

    Attributes:
        values: Frame values (B, T, C). Values past an item's length have no meaning.
        lengths: Number of valid frames of each item, at least 1: (B,) int64.
    """

    values: Tensor
    lengths: Tensor

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise ContractError(f"frames have shape (B, T, C): batch, time, channels; got {tuple(self.values.shape)}")
        if self.lengths.shape != self.values.shape[:1]:
            raise ContractError(
                f"frames of batch {self.values.shape[0]} need one length per item, got {tuple(self.lengths.shape)}"
            )

    @classmethod
    def of(cls, values: Tensor) -> Frames:
        """Wrap `values` of shape (T, C) or (B, T, C), all of them valid."""
        values = values[None] if values.ndim == 2 else values
        lengths = torch.full(values.shape[:1], values.shape[1], dtype=torch.int64, device=values.device)
        return cls(values, lengths)._cache_longest(values.shape[1])

    @classmethod
    def batch(cls, items: Sequence[Frames]) -> Frames:
        """Concatenate along the batch dimension, with zeros after the shorter items."""
        longest = max(item.longest for item in items)
        rows = [
            item.values
            if item.values.shape[1] == longest
            else torch.nn.functional.pad(item.values[:, :longest], (0, 0, 0, max(0, longest - item.values.shape[1])))
            for item in items
        ]
        return cls(torch.cat(rows), torch.cat([item.lengths for item in items])).cut(longest)

    def __repr__(self) -> str:
        return f"<Frames {tuple(self.values.shape)}: {int(self.lengths.sum())} valid>"

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, index: int) -> Frames:
        """Return one item, (1, length, C), without its padding."""
        return Frames.of(self.values[index, : int(self.lengths[index])])

    @property
    def channels(self) -> int:
        """Number of channels of a frame."""
        return self.values.shape[2]

    @property
    def longest(self) -> int:
        """The greatest length. It is cached on the CPU, so that reading it need not wait for a GPU."""
        longest: int | None = self.__dict__.get("_longest")
        if longest is None:
            longest = int(self.lengths.max())
            self._cache_longest(longest)
        return longest

    def cut(self, longest: int) -> Frames:
        """Drop the padding after `longest` frames. The caller guarantees that this is the greatest length."""
        return Frames(self.values[:, :longest], self.lengths)._cache_longest(longest)

    def with_values(self, values: Tensor) -> Frames:
        """Return other values with the same lengths."""
        return Frames(values, self.lengths)._cache_longest(self.__dict__.get("_longest"))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Frames:
        """Move to another device, or convert the values to another type of floats.

        Raises:
            ContractError: `dtype` is not a type of floats.
        """
        if dtype is None:
            return self.moved(lambda tensor: tensor.to(device))
        if not dtype.is_floating_point:
            raise ContractError(f"frames are floats, so {dtype} is not possible; choose float32, float16 or bfloat16")
        return replace(self, values=self.values.to(device, dtype), lengths=self.lengths.to(device))

    def moved(self, move: Callable[[Tensor], Tensor]) -> Frames:
        """Move values and lengths with `move`, a function that moves a tensor to another device."""
        return Frames(move(self.values), move(self.lengths))._cache_longest(self.longest)

    def _cache_longest(self, longest: int | None) -> Frames:
        if longest is not None:
            object.__setattr__(self, "_longest", longest)
        return self

    def mask(self) -> Tensor:
        """Return a mask (B, T, 1), bool: true where a frame is valid."""
        positions = torch.arange(self.values.shape[1], device=self.values.device)
        return (positions < self.lengths[:, None])[..., None]

    def slice(self, start: Tensor, num_frames: int) -> Frames:
        """Cut out `num_frames` frames from frame `start[b]` of each item, fewer at its end: (B, num_frames, C)."""
        positions = start[:, None] + torch.arange(num_frames, device=self.values.device)
        positions = positions.clamp(max=self.values.shape[1] - 1)
        values = torch.gather(self.values, 1, positions[..., None].expand(-1, -1, self.channels))
        return Frames(values, (self.lengths - start).clamp(min=1, max=num_frames))

    def resize(self, lengths: Tensor | Frames, frames_per_frame: float, first: float = 0.0) -> Frames:
        """Resample to another frame rate by linear interpolation.

        Args:
            lengths: Number of frames that each item should have, (B,), or Frames with these lengths.
            frames_per_frame: Number of old frames per new frame: 0.5 doubles the frame rate.
            first: Position of the first new frame, in old frames. Before position 0 the first old frame is repeated.

        Returns:
            Frames (B, max(lengths), C). New frame t is at position first + t * frames_per_frame of the old frames. Past
            the last valid frame that frame is repeated, so padding is never read.
        """
        longest = lengths.longest if isinstance(lengths, Frames) else int(lengths.max())
        lengths = lengths.lengths if isinstance(lengths, Frames) else lengths
        grid = (torch.arange(longest, device=self.values.device) * frames_per_frame + first).clamp(min=0)
        last = (self.lengths - 1)[:, None].to(grid.dtype)
        positions = torch.minimum(grid[None], last)
        left = positions.floor()
        share = (positions - left).to(self.values.dtype)[..., None]
        right = torch.minimum(left + 1, last).long()
        index = left.long()[..., None].expand(-1, -1, self.channels)
        before = torch.gather(self.values, 1, index)
        after = torch.gather(self.values, 1, right[..., None].expand(-1, -1, self.channels))
        return Frames(torch.lerp(before, after, share), lengths)._cache_longest(longest)

    def moments(self, epsilon: float = 1e-5) -> tuple[Tensor, Tensor]:
        """Compute mean and standard deviation of each channel over the valid frames: two tensors (B, C)."""
        # Not a product with the mask: padding may hold NaN, and NaN times 0 is NaN.
        mask = self.mask()
        values = self.values.to(torch.promote_types(self.values.dtype, torch.float32))  # sums need more than 16 bits
        count = self.lengths[:, None]
        mean = values.where(mask, 0).sum(dim=1) / count
        variance = (values - mean[:, None]).where(mask, 0).square().sum(dim=1) / count
        return mean, (variance + epsilon).sqrt()

    def pool(self) -> Tensor:
        """Statistics pooling: mean and standard deviation over time, concatenated, (B, 2 C)."""
        return torch.cat(self.moments(), dim=1)

    def normalise(self) -> Frames:
        """Instance normalization over time: each channel of each item gets mean 0 and standard deviation 1."""
        mean, deviation = self.moments()
        return self.with_values((self.values - mean[:, None]) / deviation[:, None])


register_tensors(Frames, "values", "lengths")
