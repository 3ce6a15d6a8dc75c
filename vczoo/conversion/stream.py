"""Streaming conversion of blocks of samples, as from a microphone, with a stated latency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vczoo.audio.limits import check_rate
from vczoo.audio.pitch import log_ratio
from vczoo.audio.resampling import BlockResampler, whole_rate
from vczoo.audio.waveform import unit_floats
from vczoo.conversion.chunked import ChunkedConversion, Voices, plan_in_seconds
from vczoo.errors import AudioError, ContractError
from vczoo.models.model import Model

__all__ = ["Stream"]

FADE_SECONDS, LAG_SECONDS = 0.01, 0.004


class Stream(Iterator[Tensor]):
    """Iterator over converted blocks (S',), float32, together as long as the input. The blocks carry no mark.

    A block is converted when its own input and `lookahead_seconds` of input after it have arrived; `history_seconds` of
    input before it are encoded again. The output depends only on the samples, not on how they are split into blocks. A
    head that uses statistics of a recording, such as its mean, computes them over history, block and lookahead.

    Args:
        model: The model, in eval mode.
        blocks: Blocks of samples (S,), each of any length, as tensors or arrays: floats in [-1, 1], or integers of 8,
            16 or 32 bits.
        voices: Tensors of each voice, with its share in the mix.
        semitones: Pitch shift in semitones. None moves the mean pitch of the input so far to that of the voice.
        sample_rate_hz: Sample rate of the input blocks.
        block_seconds: Length of an output block, rounded to whole steps, at least one, of the grid on which content
            frames and vocoder frames begin together (`frame_grid`, up to half a second).
        history_seconds: Past input that is encoded again with each block, rounded to the same grid.
        lookahead_seconds: Future input that must arrive before a block is converted, rounded up to whole frames.
        device: Torch device to compute on.

    Attributes:
        sample_rate_hz: Sample rate of the output blocks.
        latency_seconds: Output up to time t depends only on input up to t + `latency_seconds`. Computing time comes on
            top.

    Raises:
        ContractError: A length is out of range, or `semitones` is NaN or infinite.
        AudioError: `sample_rate_hz` is not a whole number from 2000 to 768000.
        VoiceError: The recipe has no voice head.
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
        # The crossfade of two blocks lies in the history of the second and the lookahead of the first.
        least = {"block": 0.0, "history": LAG_SECONDS, "lookahead": round(FADE_SECONDS + 2 * LAG_SECONDS, 6)}
        for name, value in lengths.items():
            if not least[name] <= value < math.inf:
                raise ContractError(f"{name}_seconds is a number of seconds, {least[name]:g} or more, got {value}")
        plan = plan_in_seconds(model, **lengths, search=0.0, fade=FADE_SECONDS, lag=LAG_SECONDS)
        shift = None if semitones is None else log_ratio(semitones)
        self.sample_rate_hz = model.sample_rate_hz
        check_rate(whole_rate(sample_rate_hz))
        self._resampler = BlockResampler(sample_rate_hz, self.sample_rate_hz)
        self.latency_seconds = (plan.block + plan.lookahead) / self.sample_rate_hz + self._resampler.delay_seconds
        self._conversion = ChunkedConversion(model, voices, plan, shift=shift, device=device)
        self._blocks = self._convert(blocks)

    def __next__(self) -> Tensor:
        """Return the next output block, as soon as enough input for it has arrived.

        Raises:
            AudioError: An input block is not a one-dimensional row of samples, or contains NaN, infinity or floats far
                outside [-1, 1].
        """
        return next(self._blocks)

    def _convert(self, blocks: Iterable[Tensor | np.ndarray[Any, Any]]) -> Iterator[Tensor]:
        for number, block in enumerate(blocks, start=1):
            samples = torch.as_tensor(block).detach()
            if samples.ndim != 1:
                raise AudioError(f"block {number}: expected one channel of samples (S,), got {tuple(samples.shape)}")
            try:
                floats = unit_floats(samples)
            except AudioError as error:
                raise AudioError(f"block {number}: {error}") from error
            if not bool(samples.isfinite().all()):
                raise AudioError(f"block {number}: {int((~samples.isfinite()).sum())} samples are NaN or infinite")
            # Copied, because a sound card may reuse the buffer of the block.
            fitting = floats.to("cpu", copy=True).clamp(-1.0, 1.0)
            yield from self._conversion.push(self._resampler.push(fitting))
        yield from self._conversion.push(self._resampler.finish())
        yield from self._conversion.finish()
