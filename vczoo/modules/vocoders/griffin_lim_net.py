"""Griffin-Lim vocoder whose magnitudes are predicted by a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.nn.convnext_block import ConvNeXtBlock
from vczoo.modules.pretrained import weights_option
from vczoo.modules.vocoders.griffin_lim import GriffinLim

__all__ = ["GriffinLimNet"]

MOST_BLOCKS = 256
KERNEL = 7
LEAST, MOST = -11.5, 7.0  # range of the predicted log-magnitudes
FIRST_SCALE = 0.2  # initial scale of a block's output


class GriffinLimNet(GriffinLim):
    """Griffin-Lim on magnitudes from a network.

    Griffin-Lim is limited by its magnitudes rather than its phases, because a mel loses the harmonics above 1 kHz.
    ConvNeXt blocks (arXiv:2201.03545) correct the log-magnitudes from the mel's pseudo-inverse, just as the
    post-processing network of Tacotron (arXiv:1703.10135) predicts a linear spectrogram from a mel. Phases are computed
    as in `griffin-lim`. In training, they are taken from the recording, so that the losses and discriminators depend
    only on the magnitudes.

    Args:
        weights: "random", or the path of a .safetensors file.
        width: Number of channels of the blocks.
        blocks: Number of blocks.
        iterations: Number of iterations of phase reconstruction, 1 to 10,000.
        momentum: Momentum of the iterations, in [0, 1); 0 is the plain algorithm.
        num_mels: Number of bands of the mel that the vocoder reads.
        fft_length: Length of the mel's FFT and window, in samples.
        hop_length: Number of samples from one frame to the next.
        sample_rate_hz: Sample rate of the mel and of the waveform.

    Raises:
        ContractError: A size is below 1, there are more than 256 blocks, or `griffin-lim` does not allow an option.
        WeightsError: `weights` is neither "random" nor a file that fits this network.
    """

    def __init__(
        self,
        *,
        weights: str = "random",
        width: int = 192,
        blocks: int = 4,
        iterations: int = 16,
        momentum: float = 0.9,
        num_mels: int = 80,
        fft_length: int = 1024,
        hop_length: int = 160,
        sample_rate_hz: int = 16000,
    ) -> None:
        if min(width, blocks) < 1 or blocks > MOST_BLOCKS:
            raise ContractError(f"width must be 1 or more and blocks 1 to {MOST_BLOCKS}, got {width} and {blocks}")
        super().__init__(
            iterations=iterations,
            momentum=momentum,
            num_mels=num_mels,
            fft_length=fft_length,
            hop_length=hop_length,
            sample_rate_hz=sample_rate_hz,
        )
        self.enter = nn.Conv1d(num_mels, width, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, scale=FIRST_SCALE) for _ in range(blocks))
        last = nn.Linear(width, fft_length // 2 + 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.exit = nn.Sequential(nn.LayerNorm(width), last)
        if file := weights_option("griffin-lim-net", weights, part="vocoder"):
            file.load_into(self)
            self.origin = file.origin

    def magnitudes(self, mel: Tensor) -> Tensor:
        """Predict the magnitudes of the spectrum: (B, T, num_mels) -> (B, T, bins)."""
        log_magnitudes = super().magnitudes(mel).clamp(min=1e-4).log()
        hidden = self.norm(self.enter((mel / 4 + 1).transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden)
        predicted: Tensor = (log_magnitudes + self.exit(hidden).float()).clamp(LEAST, MOST).exp()
        return predicted

    def rebuild(self, frames: Frames, real: Waveform) -> Waveform:
        """Synthesize waveforms in training, with the phases of the real waveforms.

        Args:
            frames: Log-mel frames of whole segments, (B, T, num_mels).
            real: The segments that the frames were computed from, (B, S).

        Returns:
            Waveforms (B, (T - 1) * hop_length).
        """
        fft, hop = self.accepts.fft_length, self.accepts.hop_length
        spectrum = torch.stft(
            real.samples.float(), fft, hop, window=self.window, pad_mode="constant", return_complex=True
        )
        spectrum = spectrum[..., : frames.values.shape[1]]
        phases = spectrum / spectrum.abs().clamp(min=1e-9)
        magnitudes = self.magnitudes(frames.values).transpose(1, 2)
        samples = torch.istft(magnitudes * phases, fft, hop, window=self.window)
        return Waveform.of(samples, self.accepts.sample_rate_hz)
