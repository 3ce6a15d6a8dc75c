"""Recordings and a vocoder in; their copies through its own mels, and how far those are from them, out."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.modules.vocoders.griffin_lim import GriffinLim
from vczoo.training.vocoder.spectral_losses import MelDistance, StftDistance

__all__ = ["copy_through", "distances", "griffin_lim_like"]


@torch.inference_mode()
def copy_through(vocoder: Vocoder, wave: Waveform) -> Waveform:
    """A recording's copy through the vocoder's mel: (1, S) -> (1, S), both at the vocoder's rate.

    A vocoder makes whole hops; silence follows where that is less than the recording.

    Raises:
        ContractError: it reads a backbone's frames, or the recording has another rate.
    """
    if not isinstance(vocoder.accepts, MelSpec):
        raise ContractError("this vocoder reads a backbone's frames; only mels can be taken of a recording alone")
    made: Waveform = vocoder(LogMel(vocoder.accepts).to(wave.samples.device)(wave))
    length = wave.samples.shape[1]
    samples = torch.nn.functional.pad(made.samples[:, :length], (0, max(0, length - made.samples.shape[1])))
    return Waveform.of(samples, made.sample_rate_hz)


def distances(vocoder: Vocoder, waves: Iterable[Waveform], spec: MelSpec) -> dict[str, float]:
    """How far copies are from their recordings, averaged over recordings: `mel` (nepers) and `stft`.

    Args:
        vocoder: in eval mode.
        waves: (1, S) each, at the vocoder's rate; at least one.
        spec: of the mels that are compared, whatever the vocoder's own are.

    Raises:
        ContractError: as `copy_through`.
    """
    mel, stft = MelDistance(spec), StftDistance()
    found: dict[str, list[Tensor]] = {"mel": [], "stft": []}
    for wave in waves:
        device = wave.samples.device
        made = copy_through(vocoder, wave)
        for name, distance in (("mel", mel), ("stft", stft)):
            found[name].append(distance.to(device)(made.samples, wave.samples).cpu())
    return {name: float(torch.stack(values).mean()) for name, values in found.items()}


def griffin_lim_like(spec: MelSpec) -> GriffinLim:
    """Griffin-Lim on mels of as many bands, the same window and hop: what a trained vocoder must be better than."""
    return GriffinLim(
        num_mels=spec.num_mels,
        fft_length=spec.fft_length,
        hop_length=min(spec.hop_length, spec.fft_length // 2),
        sample_rate_hz=spec.sample_rate_hz,
    )
