"""Copy synthesis: reconstruction of recordings from their mels, and its distance from the originals."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from vczoo.audio.mel import LogMel
from vczoo.audio.pitch import PitchTracker, pitch_frames
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.interfaces.vocoder import PitchVocoder, Vocoder
from vczoo.modules.vocoders.griffin_lim import GriffinLim
from vczoo.training.vocoder.spectral_losses import MelDistance, StftDistance

__all__ = ["copy_through", "distances", "griffin_lim_like"]


@torch.inference_mode()
def copy_through(vocoder: Vocoder, wave: Waveform, tracker: PitchTracker | None = None) -> Waveform:
    """Reconstruct a recording from its mel: (1, S) -> (1, S), both at the vocoder's rate.

    A vocoder makes whole hops. If that is less than the recording, silence is added at the end.

    Args:
        vocoder: A vocoder that reads mels.
        wave: The recording, (1, S).
        tracker: The pitch tracker, for a vocoder that reads pitch; None means `Dio`.

    Raises:
        ContractError: The vocoder reads a backbone's frames, or the recording has a different sample rate.
    """
    if not isinstance(vocoder.accepts, MelSpec):
        raise ContractError("this vocoder reads a backbone's frames; expected a vocoder that reads mels")
    mel = LogMel(vocoder.accepts).to(wave.samples.device)(wave)
    options = {"pitch": pitch_frames(wave, vocoder.accepts, tracker)} if isinstance(vocoder, PitchVocoder) else {}
    output: Waveform = vocoder(mel, **options)
    length = wave.samples.shape[1]
    samples = torch.nn.functional.pad(output.samples[:, :length], (0, max(0, length - output.samples.shape[1])))
    return Waveform.of(samples, output.sample_rate_hz)


def distances(
    vocoder: Vocoder, waves: Iterable[Waveform], spec: MelSpec, tracker: PitchTracker | None = None
) -> dict[str, float]:
    """The mean distances between recordings and their reconstructions: `mel` (nepers) and `stft`.

    Args:
        vocoder: The vocoder, in eval mode.
        waves: At least one recording, (1, S) each, at the vocoder's rate.
        spec: The spec of the mels that are compared; it may differ from the vocoder's own.
        tracker: As in `copy_through`.

    Raises:
        ContractError: The vocoder or a recording cannot be used, as in `copy_through`.
    """
    mel, stft = MelDistance(spec), StftDistance()
    values: dict[str, list[Tensor]] = {"mel": [], "stft": []}
    for wave in waves:
        device = wave.samples.device
        copy = copy_through(vocoder, wave, tracker)
        for name, distance in (("mel", mel), ("stft", stft)):
            values[name].append(distance.to(device)(copy.samples, wave.samples).cpu())
    return {name: float(torch.stack(each).mean()) for name, each in values.items()}


def griffin_lim_like(spec: MelSpec) -> GriffinLim:
    """Griffin-Lim on mels with the same bands, window and hop: the baseline that a trained vocoder must beat."""
    return GriffinLim(
        num_mels=spec.num_mels,
        fft_length=spec.fft_length,
        hop_length=min(spec.hop_length, spec.fft_length // 2),
        sample_rate_hz=spec.sample_rate_hz,
    )
