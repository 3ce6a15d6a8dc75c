"""Griffin-Lim: log-mel frames in, a waveform out, with nothing to train."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchaudio.functional import griffinlim

from vczoo.errors import ContractError
from vczoo.frames import Frames
from vczoo.interfaces import Vocoder
from vczoo.mel import mel_filters
from vczoo.specs import MelSpec
from vczoo.waveform import Waveform

__all__ = ["GriffinLim"]


class GriffinLim(Vocoder):
    """Fast Griffin-Lim (torchaudio; Perraudin et al. 2013), from a fixed phase so that it is deterministic.

    Magnitudes come from the mel through the pseudo-inverse of its filters.

    Args:
        iterations: of phase reconstruction.
        momentum: in [0, 1); 0 is the plain algorithm.
        num_mels, fft_length, hop_length, sample_rate_hz: of the mel that it reads.

    Raises:
        ContractError: iterations below 1, momentum out of range, windows that do not overlap by half, or no such mel.
    """

    window: Tensor
    inverse: Tensor

    def __init__(
        self,
        *,
        iterations: int = 32,
        momentum: float = 0.99,
        num_mels: int = 80,
        fft_length: int = 1024,
        hop_length: int = 160,
        sample_rate_hz: int = 16000,
    ) -> None:
        super().__init__()
        if iterations < 1 or not 0 <= momentum < 1:
            raise ContractError(
                f"iterations is 1 or more and momentum in [0, 1), got iterations={iterations}, momentum={momentum}"
            )
        self.accepts: MelSpec = MelSpec(
            sample_rate_hz=sample_rate_hz,
            num_mels=num_mels,
            fft_length=fft_length,
            hop_length=hop_length,
            max_hz=sample_rate_hz / 2,
        )
        if hop_length > fft_length // 2:
            raise ContractError(
                f"hop_length is at most half of fft_length {fft_length}, or the windows leave gaps in the waveform; "
                f"got {hop_length}"
            )
        self.iterations, self.momentum = iterations, momentum
        self.register_buffer("window", torch.hann_window(fft_length), persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(mel_filters(self.accepts)), persistent=False)

    def forward(self, frames: Frames) -> Waveform:
        """(B, T, num_mels) -> (B, (T - 1) * hop_length)."""
        items = []
        for index in range(len(frames)):
            mel = frames[index].values.float()
            count = mel.shape[1]
            # torchaudio reflects half a window at the ends, which a few frames alone are too short for.
            silent = max(0, self.accepts.fft_length // self.accepts.hop_length + 1 - count)
            mel = torch.nn.functional.pad(mel, (0, 0, 0, silent), value=math.log(self.accepts.floor))
            magnitudes = torch.matmul(mel.exp(), self.inverse).clamp(min=0.0).transpose(1, 2)
            samples = griffinlim(
                magnitudes,
                window=self.window,
                n_fft=self.accepts.fft_length,
                hop_length=self.accepts.hop_length,
                win_length=self.accepts.fft_length,
                power=1.0,
                n_iter=self.iterations,
                momentum=self.momentum,
                length=(mel.shape[1] - 1) * self.accepts.hop_length,
                rand_init=False,
            )
            samples = samples[:, : (count - 1) * self.accepts.hop_length]
            items.append(Waveform.of(samples, self.accepts.sample_rate_hz))
        return Waveform.batch(items)
