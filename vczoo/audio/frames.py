"""`Frames`: a batch of frame sequences, (B, T, C), with lengths; masks, time-resize, pooling, normalisation.

Whatever is computed here is computed from an item's valid frames alone, so that a batch gives what its items
give one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vczoo.errors import ContractError

__all__ = ["Frames"]


@dataclass(frozen=True)
class Frames:
    """A batch of frame sequences.

    Attributes:
        values: (B, T, C); what stands past an item's length has no meaning.
        lengths: (B,) int64, valid frames of each item, at least 1.
    """

    values: Tensor
    lengths: Tensor

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise ContractError(f"frames have shape (B, T, C): batch, time, channels; got {tuple(self.values.shape)}")
        if self.lengths.shape != self.values.shape[:1]:
            raise ContractError(
                f"frames of batch {self.values.shape[0]} need one length an item, got {tuple(self.lengths.shape)}"
            )

    @classmethod
    def of(cls, values: Tensor) -> Frames:
        """Wrap values of shape (T, C) or (B, T, C), all of them valid."""
        values = values[None] if values.ndim == 2 else values
        lengths = torch.full(values.shape[:1], values.shape[1], dtype=torch.int64, device=values.device)
        return cls(values, lengths)._knowing(values.shape[1])

    @classmethod
    def batch(cls, items: Sequence[Frames]) -> Frames:
        """Concatenate along the batch, zeros after the shorter ones."""
        longest = max(item.longest for item in items)
        rows = [
            torch.nn.functional.pad(item.values[:, :longest], (0, 0, 0, max(0, longest - item.values.shape[1])))
            for item in items
        ]
        return cls(torch.cat(rows), torch.cat([item.lengths for item in items])).cut(longest)

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, index: int) -> Frames:
        """One item, (1, length, C), without its padding."""
        return Frames.of(self.values[index, : int(self.lengths[index])])

    @property
    def channels(self) -> int:
        """Width of a frame."""
        return self.values.shape[2]

    @property
    def longest(self) -> int:
        """The greatest length. Of frames that came from the CPU it is known there: a GPU need not be waited for."""
        known: int | None = self.__dict__.get("_longest")
        if known is None:
            known = int(self.lengths.max())
            self._knowing(known)
        return known

    def cut(self, longest: int) -> Frames:
        """The first `longest` frames, where the caller knows that no item has more, and one has as many."""
        return Frames(self.values[:, :longest], self.lengths)._knowing(longest)

    def with_values(self, values: Tensor) -> Frames:
        """Other values of the same lengths."""
        return Frames(values, self.lengths)._knowing(self.__dict__.get("_longest"))

    def to(self, device: torch.device | str) -> Frames:
        """The same frames on another device."""
        return self.moved(lambda tensor: tensor.to(device))

    def moved(self, move: Callable[[Tensor], Tensor]) -> Frames:
        """The same frames elsewhere, by a function that moves a tensor."""
        return Frames(move(self.values), move(self.lengths))._knowing(self.longest)

    def _knowing(self, longest: int | None) -> Frames:
        if longest is not None:
            object.__setattr__(self, "_longest", longest)
        return self

    def mask(self) -> Tensor:
        """(B, T, 1) bool: true where a frame is valid."""
        positions = torch.arange(self.values.shape[1], device=self.values.device)
        return (positions < self.lengths[:, None])[..., None]

    def slice(self, start: Tensor, num_frames: int) -> Frames:
        """Cut `num_frames` frames from `start[b]` on, fewer where an item ends: (B, num_frames, C)."""
        positions = start[:, None] + torch.arange(num_frames, device=self.values.device)
        positions = positions.clamp(max=self.values.shape[1] - 1)
        values = torch.gather(self.values, 1, positions[..., None].expand(-1, -1, self.channels))
        return Frames(values, (self.lengths - start).clamp(min=1, max=num_frames))

    def resize(self, lengths: Tensor | Frames, frames_per_frame: float, first: float = 0.0) -> Frames:
        """Bring the frames to another rate by linear interpolation.

        Args:
            lengths: (B,) frames that each item shall have, or frames that have as many.
            frames_per_frame: frames of this rate to one of the new: 0.5 doubles the rate.
            first: where the first new frame stands, in frames of this rate; before 0 the first one is held.

        Returns:
            (B, max(lengths), C). Frame t of the new rate stands at first + t * frames_per_frame of the old; past
            the last valid frame that one is held, so padding is never read.
        """
        longest = lengths.longest if isinstance(lengths, Frames) else int(lengths.max())
        lengths = lengths.lengths if isinstance(lengths, Frames) else lengths
        wanted = (torch.arange(longest, device=self.values.device) * frames_per_frame + first).clamp(min=0)
        last = (self.lengths - 1)[:, None].to(wanted.dtype)
        positions = torch.minimum(wanted[None], last)
        left = positions.floor()
        share = (positions - left).to(self.values.dtype)[..., None]
        right = torch.minimum(left + 1, last).long()
        index = left.long()[..., None].expand(-1, -1, self.channels)
        before = torch.gather(self.values, 1, index)
        after = torch.gather(self.values, 1, right[..., None].expand(-1, -1, self.channels))
        return Frames(torch.lerp(before, after, share), lengths)._knowing(longest)

    def moments(self, epsilon: float = 1e-5) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel over valid frames: two tensors (B, C)."""
        # Not a product with the mask: padding may hold NaN, and NaN times 0 is NaN.
        mask = self.mask()
        values = self.values.to(torch.promote_types(self.values.dtype, torch.float32))  # 16 bits do not add up
        count = self.lengths[:, None]
        mean = values.where(mask, 0).sum(dim=1) / count
        variance = (values - mean[:, None]).where(mask, 0).square().sum(dim=1) / count
        return mean, (variance + epsilon).sqrt()

    def pool(self) -> Tensor:
        """Mean and standard deviation over time, side by side: (B, 2 C)."""
        return torch.cat(self.moments(), dim=1)

    def normalise(self) -> Frames:
        """Instance normalisation over time: each channel of each item to mean 0 and deviation 1."""
        mean, deviation = self.moments()
        return self.with_values((self.values - mean[:, None]) / deviation[:, None])
