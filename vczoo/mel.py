"""Waveform in, log-mel Frames out, under a `MelSpec`, always in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from vczoo.errors import ContractError
from vczoo.frames import Frames
from vczoo.specs import MelSpec
from vczoo.waveform import Waveform

__all__ = ["LogMel"]


class LogMel(nn.Module):
    """Log-mel spectrogram of a waveform.

    Frames are centred on every hop with zeros around the recording: with reflection, an item's last frames
    would depend on whether silence follows it in a batch.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, spec: MelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("window", torch.hann_window(spec.fft_length), persistent=False)
        self.register_buffer("filters", mel_filters(spec), persistent=False)

    def forward(self, wave: Waveform) -> Frames:
        """(B, S) -> (B, 1 + S // hop_length, num_mels).

        Raises:
            ContractError: the waveform has another sample rate than the spec.
        """
        if wave.sample_rate_hz != self.spec.sample_rate_hz:
            raise ContractError(
                f"this mel wants {self.spec.sample_rate_hz} Hz, the waveform has {wave.sample_rate_hz} Hz; "
                "call wave.resample first"
            )
        with torch.autocast(wave.samples.device.type, enabled=False):
            spectrum = torch.stft(
                wave.samples.float(),
                n_fft=self.spec.fft_length,
                hop_length=self.spec.hop_length,
                window=self.window,
                center=True,
                pad_mode="constant",
                return_complex=True,
            ).abs()
            mel = torch.matmul(spectrum.transpose(1, 2), self.filters)
            values = mel.clamp(min=self.spec.floor).log()
        return Frames(values, 1 + wave.lengths // self.spec.hop_length)


def mel_filters(spec: MelSpec) -> Tensor:
    """The mel filter bank of a spec, (fft_length // 2 + 1, num_mels): Slaney's scale and area (torchaudio)."""
    filters: Tensor = melscale_fbanks(
        n_freqs=spec.fft_length // 2 + 1,
        f_min=spec.min_hz,
        f_max=spec.max_hz,
        n_mels=spec.num_mels,
        sample_rate=spec.sample_rate_hz,
        norm="slaney",
        mel_scale="slaney",
    )
    return filters
