"""Blocks of samples in, as a microphone gives them; blocks of samples in a voice out, a stated time later."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vczoo.audio.pitch import log_ratio
from vczoo.audio.resampling import BlockResampler
from vczoo.conversion.chunked import ChunkedConversion, Voices, plan_in_seconds
from vczoo.errors import AudioError, ContractError
from vczoo.models.model import Model

__all__ = ["Stream"]

FADE_SECONDS, LAG_SECONDS = 0.01, 0.004


class Stream(Iterator[Tensor]):
    """An iterator of converted blocks (S',), float32; together they are as long as what went in. They carry no mark.

    A block goes out when `block` new seconds and `lookahead` seconds after them have come in; it is made with `history`
    seconds before them. What comes out depends on the samples alone and not on how they were split into blocks. A
    head that keeps statistics of a recording (its mean, say) has them of history, block and lookahead.

    Args:
        model: in eval mode.
        blocks: samples (S,) in [-1, 1], of any lengths, as tensors or arrays of floats.
        voices: tensors of each voice, with its share.
        semitones: how far pitch is moved; None moves the mean of what was heard so far to the voice's.
        sample_rate_hz: of the blocks that come in.
        block_seconds: of a block that goes out, rounded to the grid on which frames of content and of the vocoder begin
            together (`frame_grid`, up to half a second), and at least one.
        history_seconds: that are heard again with each block, rounded likewise.
        lookahead_seconds: that are heard before a block is made, rounded up to whole frames.
        device: where it computes.

    Attributes:
        sample_rate_hz: of the blocks that go out.
        latency_seconds: what goes out until t depends on nothing that comes in after t and so much. Computing comes
            on top of it.

    Raises:
        ContractError: a length is out of range, or `semitones` is NaN or infinite.
        AudioError: `sample_rate_hz` is no positive whole number, or has too small a factor in common with the model's.
        VoiceError: the recipe has no voice head.
    """

    def __init__(
        self,
        model: Model,
        blocks: Iterable[Tensor | np.ndarray[Any, Any]],
        voices: Voices,
        *,
        semitones: float | None,
        sample_rate_hz: int,
        block_seconds: float,
        history_seconds: float,
        lookahead_seconds: float,
        device: torch.device | str = "cpu",
    ) -> None:
        model.check_converts()
        lengths = {"block": block_seconds, "history": history_seconds, "lookahead": lookahead_seconds}
        # Two blocks are joined within the second one's history and the first one's lookahead.
        least = {"block": 0.0, "history": LAG_SECONDS, "lookahead": round(FADE_SECONDS + 2 * LAG_SECONDS, 6)}
        for name, value in lengths.items():
            if not least[name] <= value < math.inf:
                raise ContractError(f"{name}_seconds is a number of seconds, {least[name]:g} or more, got {value}")
        plan = plan_in_seconds(model, **lengths, search=0.0, fade=FADE_SECONDS, lag=LAG_SECONDS)
        shift = None if semitones is None else log_ratio(semitones)
        self.sample_rate_hz = model.sample_rate_hz
        self._resampler = BlockResampler(sample_rate_hz, self.sample_rate_hz)
        self.latency_seconds = (plan.block + plan.lookahead) / self.sample_rate_hz + self._resampler.delay_seconds
        self._conversion = ChunkedConversion(model, voices, plan, shift=shift, device=device)
        self._blocks = self._convert(blocks)

    def __next__(self) -> Tensor:
        """The next block, when enough has come in for it.

        Raises:
            AudioError: a block that came in is no row of floats, or holds NaN or infinity.
        """
        return next(self._blocks)

    def _convert(self, blocks: Iterable[Tensor | np.ndarray[Any, Any]]) -> Iterator[Tensor]:
        for number, block in enumerate(blocks, start=1):
            samples = torch.as_tensor(block).detach()
            if samples.ndim != 1 or not samples.is_floating_point():
                kind = f"{samples.dtype} of shape {tuple(samples.shape)}"
                raise AudioError(f"block {number}: (S,) floats in [-1, 1] were expected, one channel, got {kind}")
            if not bool(samples.isfinite().all()):
                raise AudioError(f"block {number}: {int((~samples.isfinite()).sum())} samples are NaN or infinite")
            # A copy, since a sound card writes into the same block again.
            fitting = samples.to("cpu", torch.float32, copy=True).clamp(-1.0, 1.0)
            yield from self._conversion.push(self._resampler.push(fitting))
        yield from self._conversion.push(self._resampler.finish())
        yield from self._conversion.finish()
