"""Log-mel spectrograms of waveforms, as a `MelSpec` describes them, always in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vczoo.audio.filterbank import mel_filter_bank
from vczoo.audio.frames import Frames
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError

__all__ = ["LogMel", "mel_filters"]


class LogMel(nn.Module):
    """Module that computes the log-mel spectrogram of a waveform.

    With zero padding, a batch is one transform. Reflection padding depends on where a recording ends, so a batch of
    different lengths is then transformed one recording at a time.

    Args:
        spec: The mel format to produce.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, spec: MelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("window", torch.hann_window(spec.fft_length), persistent=False)
        self.register_buffer("filters", mel_filters(spec), persistent=False)

    def forward(self, wave: Waveform) -> Frames:
        """Compute log-mel frames: (B, S) -> (B, spec.num_frames(S), num_mels).

        Raises:
            ContractError: The waveform does not have the sample rate of the spec.
        """
        if wave.sample_rate_hz != self.spec.sample_rate_hz:
            raise ContractError(
                f"this log-mel expects {self.spec.sample_rate_hz} Hz, but the waveform has {wave.sample_rate_hz} Hz; "
                "call wave.resample first"
            )
        counts = wave.lengths.tolist()
        lengths = torch.tensor([self.spec.num_frames(count) for count in counts], device=wave.lengths.device)
        with torch.autocast(wave.samples.device.type, enabled=False):
            samples = wave.samples.float()
            if self.spec.padding == "zeros" or len(set(counts)) == 1:
                return Frames(self._log_mel(samples[:, : max(counts)]), lengths)
            items = [Frames.of(self._log_mel(samples[[index], :count])) for index, count in enumerate(counts)]
        return Frames.batch(items)

    def _log_mel(self, samples: Tensor) -> Tensor:
        spec = self.spec
        around = spec.fft_length // 2 if spec.centred else (spec.fft_length - spec.hop_length) // 2
        # At least one frame, even if the recording is shorter than a hop.
        short = max(0, 0 if spec.centred else spec.hop_length - samples.shape[1])
        spectrum = torch.stft(
            _pad(nn.functional.pad(samples, (0, short)), around, spec.padding),
            n_fft=spec.fft_length,
            hop_length=spec.hop_length,
            window=self.window,
            center=False,
            return_complex=True,
        )
        if spec.epsilon:
            magnitudes = (spectrum.real.square() + spectrum.imag.square() + spec.epsilon).sqrt()
        else:
            magnitudes = spectrum.abs()
        mel = torch.matmul(magnitudes.transpose(1, 2), self.filters).clamp(min=spec.floor)
        return mel.log() if spec.log_base == "e" else mel.log10()


def _pad(samples: Tensor, around: int, padding: str) -> Tensor:
    """Pad both sides with zeros or the mirror image; zeros extend a recording that is too short to mirror."""
    if padding == "zeros":
        return nn.functional.pad(samples, (around, around))
    missing = max(0, around + 1 - samples.shape[1])
    padded = nn.functional.pad(nn.functional.pad(samples, (0, missing)), (around, around), mode="reflect")
    return padded[:, : padded.shape[1] - missing]


def mel_filters(spec: MelSpec) -> Tensor:
    """Mel filter bank of a spec: (fft_length // 2 + 1, num_mels)."""
    return mel_filter_bank(
        spec.fft_length // 2 + 1,
        spec.min_hz,
        spec.max_hz,
        spec.num_mels,
        spec.sample_rate_hz,
        scale=spec.filter_scale,
        slaney_norm=spec.filter_norm == "slaney",
    )
