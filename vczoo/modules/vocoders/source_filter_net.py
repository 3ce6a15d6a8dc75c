"""Neural source-filter vocoder: a network shapes the harmonics of the pitch, and noise, into speech."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.mel import mel_filters
from vczoo.audio.pitch import PITCH_CENTRE_LOG_HZ, PITCH_SCALE
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.interfaces.vocoder import PitchVocoder
from vczoo.modules.nn.convnext_block import ConvNeXtBlock
from vczoo.modules.pretrained import weights_option
from vczoo.modules.vocoders.griffin_lim_net import FIRST_SCALE

__all__ = ["SourceFilterNet"]

KERNEL = 7
MOST_BLOCKS = 256
LEAST, MOST = -14.0, 8.0  # of log-magnitudes: beyond them exp would only make training unstable
JOINED_SECONDS = 0.1  # of the end of the previous chunk, which the phases continue
UNVOICED_HZ = 150.0  # F0 of a recording without any voiced frame; its harmonics stay silent


class SourceFilterNet(PitchVocoder):
    """Network that turns mels and pitch into the filters of a harmonic source and of a noise source.

    The harmonic source has all harmonics of F0 at equal power, so its phases are continuous. Per frame and bin, the
    network predicts the magnitude and the phase shift of a filter for the harmonics, and the magnitude of one for the
    noise. The sum of both filtered spectra goes through the inverse STFT. The filters start from the pseudo-inverse of
    the mel filters, so the network learns only a correction.

    Sources: the neural homomorphic vocoder (Liu et al. 2020), for harmonics and noise through predicted filters; Vocos,
    arXiv:2306.00814, for ConvNeXt blocks and the inverse STFT; FreeV, arXiv:2406.08196, for the pseudo-inverse.

    Args:
        weights: "random", or the path of a .safetensors file.
        width: Number of channels of the blocks.
        blocks: Number of blocks.
        window_length: Length of the window of the synthesis in samples, at least twice the hop.
        num_mels: Number of bands of the mel that the vocoder reads.
        fft_length: Length of the mel's FFT and window, in samples; a multiple of `window_length`.
        hop_length: Number of samples from one frame to the next.
        sample_rate_hz: Sample rate of the mel and of the waveform.

    Raises:
        ContractError: A size is out of range.
        WeightsError: `weights` is neither "random" nor a file that fits this network.
    """

    window: Tensor
    inverse: Tensor

    def __init__(
        self,
        *,
        weights: str = "random",
        width: int = 160,
        blocks: int = 4,
        window_length: int = 512,
        num_mels: int = 80,
        fft_length: int = 1024,
        hop_length: int = 160,
        sample_rate_hz: int = 16000,
    ) -> None:
        super().__init__()
        if width < 1 or not 1 <= blocks <= MOST_BLOCKS:
            raise ContractError(f"width must be 1 or more and blocks 1 to {MOST_BLOCKS}, got {width} and {blocks}")
        self.accepts: MelSpec = MelSpec(
            sample_rate_hz=sample_rate_hz,
            num_mels=num_mels,
            fft_length=fft_length,
            hop_length=hop_length,
            max_hz=sample_rate_hz / 2,
        )
        if window_length < 2 * hop_length or fft_length % window_length:
            raise ContractError(
                f"window_length must be at least twice hop_length {hop_length} and divide fft_length {fft_length}, "
                f"got {window_length}"
            )
        self.window_length = window_length
        bins = window_length // 2 + 1
        self.enter = nn.Conv1d(num_mels + 2, width, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, scale=FIRST_SCALE) for _ in range(blocks))
        last = nn.Linear(width, 4 * bins)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.exit = nn.Sequential(nn.LayerNorm(width), last)
        window = torch.hann_window(window_length)
        inverse = torch.linalg.pinv(mel_filters(self.accepts))[:, :: fft_length // window_length]
        # Magnitudes of noise grow with the root of the window, and the spectrum of a source of power 1 is as loud.
        gain = math.sqrt(window_length / fft_length) / float(window.square().sum().sqrt())
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("inverse", inverse * gain, persistent=False)
        if file := weights_option("source-filter-net", weights, part="vocoder"):
            file.load_into(self)
            self.origin = file.origin

    def forward(self, frames: Frames, pitch: Frames | None = None) -> Waveform:
        """Synthesize waveforms: (B, T, num_mels), (B, T, 2) -> (B, (T - 1) * hop_length).

        Args:
            frames: Log-mel frames.
            pitch: Scaled log-F0 and voicing of the same frames, as `pitch_frames` returns them. None means unvoiced.
        """
        waves = []
        for index in range(len(frames)):  # one by one: a recording sounds the same alone as in a batch
            item = frames[index].values
            own = _aligned(pitch[index] if pitch else None, item)
            samples = self._synthesize(item, own, self._noise(item))
            waves.append(Waveform.of(samples, self.accepts.sample_rate_hz))
        return Waveform.batch(waves)

    def follow(self, frames: Frames, before: Waveform, pitch: Frames | None = None) -> Waveform:
        """Synthesize the next chunk of a longer waveform, with harmonics in phase with the previous one.

        Args:
            frames: Log-mel frames of the chunk, (1, T, num_mels).
            before: The first P samples of the chunk, which exist already, (1, P).
            pitch: Pitch of the frames, (1, T, 2). None means unvoiced.
        """
        mel = frames.values[:1]
        own = _aligned(pitch, mel)
        filters, f0_hz, aperiodic = self._filters(mel, own), self._f0(own), self._spectrum(self._noise(mel))
        phase = self._phase(f0_hz)
        samples = self._filtered(filters, f0_hz, phase, aperiodic)
        if ahead := _turns_ahead(before.samples[0], samples[0], phase[0], self.accepts.sample_rate_hz):
            samples = self._filtered(filters, f0_hz, phase + ahead, aperiodic)
        return Waveform.of(samples, self.accepts.sample_rate_hz)

    def rebuild(self, frames: Frames, real: Waveform, pitch: Frames | None = None) -> Waveform:
        """Synthesize waveforms in training, with random noise and random phases of the fundamental.

        Args:
            frames: Log-mel frames of whole segments of one length, (B, T, num_mels).
            real: The segments that the frames were computed from, (B, S).
            pitch: Pitch of the frames, (B, T, 2). None means unvoiced.
        """
        mel = frames.values
        own = _aligned(pitch, mel)
        first = torch.rand(len(mel), 1, device=mel.device)
        noise = torch.randn(len(mel), self._length(mel), device=mel.device)
        return Waveform.of(self._synthesize(mel, own, noise, first), self.accepts.sample_rate_hz)

    def _length(self, mel: Tensor) -> int:
        return (mel.shape[1] - 1) * self.accepts.hop_length

    def _f0(self, pitch: Tensor) -> Tensor:
        """F0 in Hz of every sample, interpolated through unvoiced frames: (B, T, 2) -> (B, S)."""
        rows = [_interpolated(values, voicing > 0.5) for values, voicing in zip(*pitch.unbind(2), strict=True)]
        log_hz = torch.stack(rows) * PITCH_SCALE + PITCH_CENTRE_LOG_HZ
        hop = self.accepts.hop_length
        places = torch.arange(hop, dtype=pitch.dtype, device=pitch.device) / hop
        fine = torch.lerp(log_hz[:, :-1, None], log_hz[:, 1:, None], places)
        return fine.flatten(1).exp().clamp(20.0, self.accepts.sample_rate_hz / 4)

    def _phase(self, f0_hz: Tensor) -> Tensor:
        """Phase of the fundamental in turns: (B, S) -> (B, S)."""
        turns = torch.cumsum(f0_hz.double() / self.accepts.sample_rate_hz, dim=1)
        return turns - turns.floor()

    def _noise(self, mel: Tensor) -> Tensor:
        """White noise of power 1, (1, S); always the same, so that a conversion can be repeated."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(1, self._length(mel), dtype=torch.float32, generator=generator).to(mel.device)

    def _synthesize(self, mel: Tensor, pitch: Tensor, noise: Tensor, first: Tensor | float = 0.0) -> Tensor:
        """Synthesize samples, (B, T, num_mels) -> (B, S); the phase of the fundamental begins `first` turns later."""
        f0_hz = self._f0(pitch)
        return self._filtered(self._filters(mel, pitch), f0_hz, self._phase(f0_hz) + first, self._spectrum(noise))

    def _filters(self, mel: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network: the complex filter of the harmonics, and the magnitudes of that of the noise."""
        base = torch.matmul(mel.float().exp(), self.inverse).clamp(min=1e-6).log()
        hidden = self.norm(self.enter(torch.cat([mel / 4 + 1, pitch], dim=2).transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden)
        loud, soft, real, imaginary = self.exit(hidden).float().chunk(4, dim=2)
        turn = torch.complex(real + 1, imaginary)
        turn = turn / turn.abs().clamp(min=1e-4)
        return (base + loud).clamp(LEAST, MOST).exp() * turn, (base + soft).clamp(LEAST, MOST).exp()

    def _filtered(self, filters: tuple[Tensor, Tensor], f0_hz: Tensor, phase: Tensor, aperiodic: Tensor) -> Tensor:
        """Filter both sources and add them, (B, S)."""
        if not f0_hz.shape[1]:  # a single frame: no hop, so no sample
            return f0_hz
        harmonics = self._spectrum(_pulses(phase, f0_hz, self.accepts.sample_rate_hz))
        spectrum = filters[0] * harmonics + filters[1] * aperiodic
        return torch.istft(
            spectrum.transpose(1, 2),
            self.window_length,
            self.accepts.hop_length,
            window=self.window,
            length=f0_hz.shape[1],
        )

    def _spectrum(self, samples: Tensor) -> Tensor:
        """STFT, (B, S) -> (B, T, bins)."""
        return torch.stft(
            samples.float(),
            self.window_length,
            self.accepts.hop_length,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        ).transpose(1, 2)


def _interpolated(values: Tensor, voiced: Tensor) -> Tensor:
    """Interpolate values (T,) linearly between voiced frames, and hold the first and the last."""
    places = voiced.nonzero()[:, 0]
    if not len(places):
        return torch.full_like(values, (math.log(UNVOICED_HZ) - PITCH_CENTRE_LOG_HZ) / PITCH_SCALE)
    times = torch.arange(len(values), device=values.device)
    after = torch.searchsorted(places, times).clamp(max=len(places) - 1)
    before = (after - 1).clamp(min=0)
    first, last = places[before], places[after]
    share = ((times - first) / (last - first).clamp(min=1)).clamp(0, 1).to(values)
    return torch.lerp(values[first], values[last], share)


def _pulses(phase: Tensor, f0_hz: Tensor, sample_rate_hz: int) -> Tensor:
    """All harmonics up to half the sample rate, as cosines of equal power, 1 in total: (B, S) -> (B, S).

    The sum of cosines is the Dirichlet kernel.
    """
    count = (sample_rate_hz / 2 / f0_hz).floor().clamp(min=1).double()
    half = math.pi * phase
    sine = half.sin()
    kernel = torch.where(sine.abs() < 1e-6, count, (((2 * count + 1) * half).sin() / sine - 1) / 2)
    return (kernel * (2 / count).sqrt()).float()


def _aligned(pitch: Frames | None, mel: Tensor) -> Tensor:
    """The values of pitch frames, with as many frames as the mel: (B, T, 2). Missing ones are unvoiced."""
    count = mel.shape[1]
    if pitch is None:
        return mel.new_zeros(len(mel), count, 2)
    return F.pad(pitch.values[:, :count].float(), (0, 0, 0, max(0, count - pitch.values.shape[1])))


def _turns_ahead(before: Tensor, samples: Tensor, phase: Tensor, sample_rate_hz: int) -> float:
    """Turns by which the fundamental of `before` (P,) is ahead of that of `samples` (S,), where both exist.

    Both are demodulated by the phase of `samples`, (S,) in turns, over the last tenth of a second of `before`.
    """
    stop = min(len(before), len(samples))
    recent = slice(max(0, stop - round(JOINED_SECONDS * sample_rate_hz)), stop)
    carrier = torch.polar(torch.ones_like(phase[recent]), -2 * math.pi * phase[recent])
    theirs, ours = ((wave[recent].double() * carrier).sum() for wave in (before, samples))
    return float((theirs * ours.conj()).angle() / (2 * math.pi))
