"""Griffin-Lim vocoder, which reconstructs phases without any training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.mel import mel_filters
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.interfaces.vocoder import Vocoder

__all__ = ["GriffinLim", "spsi_phases"]

CACHED_FRAMES = 128  # this many frames stay in a core's cache: twice as fast as a minute of frames at once
TINY = 1e-30
MOST_ITERATIONS = 10_000


class GriffinLim(Vocoder):
    """Fast Griffin-Lim (Perraudin et al. 2013) with deterministic initial phases.

    The magnitudes are computed from the mel with the pseudo-inverse of its filters. The initial phases come from single
    pass spectrogram inversion (Beauregard et al. 2015), which saves half of the iterations. The waveform outside the
    recording is taken as silent, as it is for the mel.

    Args:
        iterations: Number of iterations of phase reconstruction, 1 to 10,000.
        momentum: Momentum of the iterations, in [0, 1); 0 is the plain algorithm.
        num_mels: Number of bands of the mel that the vocoder reads.
        fft_length: Length of the mel's FFT and window, in samples.
        hop_length: Number of samples from one frame to the next.
        sample_rate_hz: Sample rate of the mel and of the waveform.

    Raises:
        ContractError: An option is out of range, there is no such mel, or the windows overlap by less than half.
    """

    window: Tensor
    inverse: Tensor

    def __init__(
        self,
        *,
        iterations: int = 16,
        momentum: float = 0.9,
        num_mels: int = 80,
        fft_length: int = 1024,
        hop_length: int = 160,
        sample_rate_hz: int = 16000,
    ) -> None:
        super().__init__()
        if not 1 <= iterations <= MOST_ITERATIONS or not 0 <= momentum < 1:
            raise ContractError(
                f"iterations must be 1 to {MOST_ITERATIONS} and momentum in [0, 1), got iterations={iterations}, "
                f"momentum={momentum}"
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
                f"hop_length must be at most half of fft_length {fft_length}, because windows that overlap by less "
                f"than half leave gaps in the waveform; got {hop_length}"
            )
        self.iterations, self.momentum = iterations, momentum
        self.register_buffer("window", torch.hann_window(fft_length), persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(mel_filters(self.accepts)), persistent=False)

    def forward(self, frames: Frames) -> Waveform:
        """Synthesize waveforms: (B, T, num_mels) -> (B, (T - 1) * hop_length)."""
        # One by one, even if lengths are equal: on a CPU, eight items at once take 1.3 times as long.
        return Waveform.batch([self._reconstruct(frames[index], None) for index in range(len(frames))])

    def follow(self, frames: Frames, before: Waveform) -> Waveform:
        """Synthesize the next chunk of a longer waveform, so that it can be cross-faded with the previous one.

        Frames within `before` start from its phases. The others start from the same phases as in `forward`.

        Args:
            frames: Log-mel frames of the chunk, (1, T, num_mels).
            before: The first P samples of the chunk, which exist already, (1, P).
        """
        return self._reconstruct(frames, before.samples[0])

    def magnitudes(self, mel: Tensor) -> Tensor:
        """Compute magnitudes with the pseudo-inverse of the mel's filters: (…, T, num_mels) -> (…, T, bins)."""
        return torch.matmul(mel.float().exp(), self.inverse).clamp(min=0.0)

    @torch.no_grad()
    def _reconstruct(self, frames: Frames, before: Tensor | None) -> Waveform:
        magnitudes = self.magnitudes(frames.values[:1])[0]
        spectrogram = _Spectrogram(magnitudes, self.window, self.accepts.hop_length)
        phases = spsi_phases(magnitudes, self.accepts.fft_length, self.accepts.hop_length)
        if before is not None and len(old_phases := spectrogram.phases(before)):
            phases[: len(old_phases)] = old_phases
        spectrogram.start(phases)
        for _ in range(self.iterations):
            spectrogram.improve(self.momentum)
        length = (len(magnitudes) - 1) * self.accepts.hop_length
        first = self.accepts.fft_length // 2
        return Waveform.of(spectrogram.samples()[first : first + length].clone(), self.accepts.sample_rate_hz)


def spsi_phases(magnitudes: Tensor, fft_length: int, hop_length: int) -> Tensor:
    """Compute the phases that each bin would have if its nearest spectral peak were a sinusoid.

    Source: single pass spectrogram inversion, Beauregard, Harish and Wyse 2015. Its phase locking around peaks is
    omitted, because the first iterations of Griffin-Lim have the same effect.

    Args:
        magnitudes: Magnitudes of the spectrogram, (T, bins).
        fft_length: Length of the FFT, in samples.
        hop_length: Number of samples from one frame to the next.

    Returns:
        Phases in radians, (T, bins).
    """
    below = torch.cat([magnitudes[:, :1], magnitudes[:, :-1]], dim=1)
    above = torch.cat([magnitudes[:, 1:], magnitudes[:, -1:]], dim=1)
    bins = torch.arange(magnitudes.shape[1], dtype=magnitudes.dtype, device=magnitudes.device).expand_as(magnitudes)
    # Position of the peak between bins, from the parabola through it and its neighbors.
    curve = below - 2 * magnitudes + above
    offset = torch.where(curve < 0, 0.5 * (below - above) / curve.clamp(max=-TINY), 0.0).clamp(-0.5, 0.5)
    peak = (magnitudes > below) & (magnitudes >= above)
    lower = bins.where(peak, -math.inf).cummax(dim=1).values
    upper = bins.where(peak, math.inf).flip(1).cummin(dim=1).values.flip(1)
    nearest = torch.where(bins - lower <= upper - bins, lower, upper).nan_to_num(posinf=0.0, neginf=0.0).long()
    frequency = (bins + offset).gather(1, nearest).double()
    turns = torch.cumsum(frequency * (hop_length / fft_length), dim=0)
    return (turns.frac() * (2 * math.pi)).float()


class _Spectrogram:
    """Spectrogram with fixed magnitudes (T, bins) and phases that the iterations improve.

    Its waveform is padded by half a window.
    """

    def __init__(self, magnitudes: Tensor, window: Tensor, hop: int) -> None:
        count, length = len(magnitudes), len(window)
        self.magnitudes, self.window, self.hop = magnitudes, window, hop
        self.overlap = -(-length // hop)  # number of hops that a frame covers
        self.chunk = CACHED_FRAMES if magnitudes.device.type == "cpu" else count
        self.previous: Tensor | None = None
        self.sums = magnitudes.new_zeros(count - 1 + self.overlap, hop)
        self.windowed = magnitudes.new_zeros(min(self.chunk, count), self.overlap * hop)
        self.frames = magnitudes.new_zeros(min(self.chunk, count), length)
        squares = torch.nn.functional.pad(window.square(), (0, self.overlap * hop - length)).view(self.overlap, hop)
        for shift, part in enumerate(squares):
            self.sums[shift : shift + count] += part
        self.gain = self.sums.flatten().clamp(min=1e-8).reciprocal()
        self.gain[: length // 2] = 0.0
        self.gain[length // 2 + (count - 1) * hop :] = 0.0

    def start(self, phases: Tensor) -> None:
        """Set the initial phases, (T, bins)."""
        self.values = torch.polar(self.magnitudes, phases)

    def phases(self, samples: Tensor) -> Tensor:
        """Compute the phases of a waveform (S,): (at most T, bins).

        Only frames that lie within the waveform, or within it and the silence before it, are returned.
        """
        length = len(self.window)
        padded = torch.nn.functional.pad(samples.float(), (length // 2, 0))
        if len(padded) < length:
            return self.magnitudes[:0]
        frames = padded.unfold(0, length, self.hop)[: len(self.magnitudes)] * self.window
        angles: Tensor = torch.fft.rfft(frames).angle()
        return angles

    def samples(self) -> Tensor:
        """Return the waveform by overlap-add, as a flat view that is valid until the next call."""
        count, length = len(self.values), len(self.window)
        self.sums.zero_()
        for start in range(0, count, self.chunk):
            rows = min(self.chunk, count - start)
            torch.fft.irfft(self.values[start : start + rows], n=length, out=self.frames[:rows])
            torch.mul(self.frames[:rows], self.window, out=self.windowed[:rows, :length])
            hops = self.windowed[:rows].view(rows, self.overlap, self.hop)
            for shift in range(self.overlap):
                self.sums[start + shift : start + shift + rows] += hops[:, shift]
        waveform: Tensor = self.sums.view(-1).mul_(self.gain)
        return waveform

    def improve(self, momentum: float) -> None:
        """Run one iteration: take the phases of the nearest consistent spectrogram, extrapolated by the momentum."""
        length = len(self.window)
        frames = self.samples().unfold(0, length, self.hop)
        first = self.previous is None
        if self.previous is None:
            self.previous = torch.empty_like(self.values)
        for start in range(0, len(self.values), self.chunk):
            rows = slice(start, min(start + self.chunk, len(self.values)))
            count = rows.stop - rows.start
            torch.mul(frames[rows], self.window, out=self.frames[:count])
            rebuilt = torch.fft.rfft(self.frames[:count])
            values = rebuilt if first else torch.add(rebuilt, rebuilt - self.previous[rows], alpha=momentum)
            self.previous[rows] = rebuilt
            real, imaginary = values.real, values.imag
            # Not abs(): it guards against overflow, which cannot happen here, and takes three times as long.
            scale = (real * real).addcmul_(imaginary, imaginary).add_(TINY).rsqrt_().mul_(self.magnitudes[rows])
            torch.mul(values, scale, out=self.values[rows])
