"""Recordings as callers hold them: paths, waveforms, and samples of NumPy, PyTorch, Gradio and Datasets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from vczoo.audio.channels import choose_downmix
from vczoo.audio.resampling import whole_rate
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, AudioWarning, shortened
from vczoo.io.deprecation import warn_at_caller

__all__ = ["PathOrWaveform", "Recording", "as_recording", "as_recordings", "read_recording"]

ACCEPTED = (
    "a recording is the path of a sound file, a vczoo.Waveform, a tensor or array with sample_rate_hz=, a pair "
    '(sample rate, array), or the audio of a row of Hugging Face Datasets: {"array": …, "sampling_rate": …}'
)
MOST_CHANNELS = 2  # a longer first axis may be a batch of recordings


class AudioDecoder(Protocol):
    """Decoder of TorchCodec, which a row of Hugging Face Datasets holds."""

    def get_all_samples(self) -> Any:
        """Decode to an object with `data`, a tensor (C, S), and `sample_rate`."""


Samples = Tensor | np.ndarray[Any, Any]
Recording = (
    str
    | os.PathLike[str]
    | Waveform
    | Samples
    | tuple[float, Samples]
    | tuple[Samples, float]
    | Mapping[str, Any]
    | AudioDecoder
)
PathOrWaveform = str | os.PathLike[str] | Waveform


def as_recording(source: Recording, sample_rate_hz: float | None = None, channel: str | None = None) -> PathOrWaveform:
    """Check a recording, and wrap samples in memory in a waveform.

    Samples have the shape (S,), or that of one or two channels, (C, S) or (S, C). Two channels are mixed as those of a
    file.

    Args:
        source: A recording. A path or a `Waveform` is returned as it is.
        sample_rate_hz: Sample rate in Hz of a tensor or an array; None for anything else, which has its own.
        channel: Channel of samples in memory to use: "left", "right" or "mix", as for `Waveform.read`.

    Raises:
        AudioError: `source` is something else; its shape could be read in two ways; its samples are NaN, infinite, far
            outside [-1, 1], or of a type that does not say how to scale them; or its rate is missing or no sample rate.
    """
    if _is_array(source):
        if sample_rate_hz is None:
            raise AudioError(
                f"{_described(source)} has no sample rate: say it with sample_rate_hz=, or pass (sample rate, array)"
            )
        return _as_waveform(source, sample_rate_hz, channel)
    if sample_rate_hz is not None:
        raise AudioError(
            f"sample_rate_hz is only for a tensor or an array; {_described(source)} has its own rate. Leave it out"
        )
    if isinstance(source, str | os.PathLike | Waveform):
        return source
    if isinstance(source, tuple) and _is_pair(source):
        rate, array = source if _is_array(source[1]) else source[::-1]
        return _as_waveform(array, rate, channel)
    if isinstance(source, Mapping) and _is_array(source.get("array")):
        return _as_waveform(source["array"], source.get("sampling_rate"), channel)
    if _is_decoder(source):
        decoded = source.get_all_samples()  # type: ignore[union-attr]
        return _as_waveform(decoded.data, decoded.sample_rate, channel)
    raise AudioError(f"{ACCEPTED}; got {_described(source)}")


def as_recordings(
    sources: Recording | Iterable[Recording], sample_rate_hz: float | None = None, channel: str | None = None
) -> list[PathOrWaveform]:
    """Check one or several recordings, as `as_recording` does.

    A tuple of an array and something else is a pair (sample rate, array); any other tuple holds several recordings.

    Raises:
        AudioError: As for `as_recording`.
    """
    if isinstance(sources, tuple):
        single = _is_pair(sources)
    else:
        single = not isinstance(sources, Iterable) or isinstance(sources, str | os.PathLike | Waveform | Mapping)
    if single or _is_array(sources) or _is_decoder(sources):
        sources = [cast("Recording", sources)]
    return [as_recording(source, sample_rate_hz, channel) for source in cast("Iterable[Recording]", sources)]


def _as_waveform(array: Any, sample_rate_hz: Any, channel: str | None) -> Waveform:
    if isinstance(sample_rate_hz, bool) or not isinstance(sample_rate_hz, Real):
        raise AudioError(f"the sample rate of an array is a number of Hz, as 16000, got {_described(sample_rate_hz)}")
    rate = whole_rate(float(sample_rate_hz))
    channels = Waveform.of(_channels_first(_as_tensor(array)), rate)
    channels.check()
    columns = channels.samples.T.numpy()
    downmix = choose_downmix([columns], len(channels), rate, channel)
    if downmix.note:
        warn_at_caller(f"{_described(array)}: {downmix.note}", AudioWarning)
    return channels if len(channels) == 1 else Waveform.of(torch.from_numpy(downmix(columns)), rate)


def _as_tensor(array: Samples) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach().cpu()
    try:  # torch takes neither strides below 0 nor the byte order of another machine, and warns of what is read-only
        return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))
    except TypeError as error:
        raise AudioError(f"samples must be numbers, got {_described(array)}; convert them to float32") from error


def _channels_first(samples: Tensor) -> Tensor:
    """(S,), (C, S) or (S, C) -> (C, S). A recording has more samples than channels, so only one of the axes fits."""
    if samples.ndim == 1:
        return samples[None]
    first, last = (size <= MOST_CHANNELS for size in samples.shape) if samples.ndim == 2 else (False, False)
    if first == last:
        raise AudioError(
            f"samples have the shape (S,), or that of one or two channels, (C, S) or (S, C); got "
            f"{tuple(samples.shape)}. Pass one recording at a time, as array[0]; average more channels, as "
            "array.mean(axis=0)"
        )
    return samples if first else samples.T


def _is_array(value: object) -> bool:
    """Whether a value holds samples. An array of text is a sequence of paths."""
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind not in "OSU")


def _is_pair(value: tuple[object, ...]) -> bool:
    return len(value) == 2 and _is_array(value[0]) != _is_array(value[1])


def _is_decoder(value: object) -> bool:
    return callable(getattr(value, "get_all_samples", None))


def _described(value: object) -> str:
    if isinstance(value, Tensor | np.ndarray):
        kind = "a tensor" if isinstance(value, Tensor) else "an array"
        return f"{kind} of {str(value.dtype).removeprefix('torch.')} and shape {tuple(value.shape)}"
    return shortened(repr(value), 80) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


def read_recording(
    recording: PathOrWaveform, rate_hz: int, channel: str | None = None, *, speech: bool = True
) -> Waveform:
    """Read a file, or check a waveform, and resample it.

    Args:
        recording: A path, or a waveform (B, S).
        rate_hz: Sample rate of the result in Hz.
        channel: Channel of a file to use, as for `Waveform.read`.
        speech: Whether a waveform must be long and loud enough for speech; a file must be in any case.

    Raises:
        AudioError: The file cannot be read, or the waveform cannot be used.
    """
    if not isinstance(recording, Waveform):
        return Waveform.read(recording, rate_hz, channel)
    recording.check(speech=speech)
    return recording.resample(rate_hz)
