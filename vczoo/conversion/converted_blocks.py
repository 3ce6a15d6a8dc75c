"""Conversions of one recording as blocks of samples: a single block, or chunks of a long recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vczoo.audio.reader import SoundReader
from vczoo.audio.recording import PathOrWaveform, read_recording
from vczoo.audio.waveform import Waveform
from vczoo.conversion.chunked import Blocks, convert_in_chunks
from vczoo.errors import AudioError
from vczoo.models.model import Model

__all__ = ["blocks_of", "converted_blocks"]

WHOLE_SECONDS = 30.0  # longer recordings are converted in chunks


def converted_blocks(
    model: Model,
    source: PathOrWaveform,
    voices: Sequence[tuple[Mapping[str, Tensor], float]],
    semitones: float | None,
    channel: str | None,
    device: torch.device,
) -> Iterator[Tensor]:
    """Convert a recording to blocks (S,) on the CPU, at the model's sample rate.

    Args:
        model: The model, on `device`.
        source: The recording.
        voices: Tensors of each voice, with its share in the mix.
        semitones: As for `Converter.convert`.
        channel: As for `Converter.convert`.
        device: The device to compute on.

    Raises:
        AudioError, ContractError: As for `Converter.convert`.
    """
    blocks = blocks_of(source, model.sample_rate_hz, channel)
    if 0 < blocks.seconds <= WHOLE_SECONDS:  # some files state no length
        wave = read_recording(source, model.sample_rate_hz, channel, speech=False).to(device)
        if wave.seconds <= 2 * WHOLE_SECONDS:
            return iter([model.convert(wave, voices, semitones=semitones).to("cpu").samples[0]])
        blocks = Blocks(wave, model.sample_rate_hz)  # its header states a wrong length
    return convert_in_chunks(model, blocks, voices, semitones=semitones, device=device)


def blocks_of(recording: PathOrWaveform, rate_hz: int, channel: str | None = None) -> Blocks:
    """Open a recording to be read in blocks at a sample rate.

    Raises:
        AudioError: It is a batch of several recordings, or cannot be read.
    """
    source = recording if isinstance(recording, Waveform) else SoundReader(recording, channel)
    if isinstance(source, Waveform) and len(source) != 1:
        raise AudioError(f"expected one recording to convert, got a batch of {len(source)}; use wave[i]")
    if isinstance(source, Waveform):
        # Unlike a file, a part of a signal may be silent or shorter than a frame.
        source.check(speech=not source.samples.numel())
    return Blocks(source, rate_hz)
