"""What a caller may pass as a recording, what is refused, and with what advice."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.sound_files import speech_like
from vczoo.audio.recording import as_recording, as_recordings
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, AudioWarning

RATE_HZ = 16000
MONO = speech_like(0.5, RATE_HZ).astype(np.float32)
OTHER = np.roll(MONO, 100) * 0.8
STEREO = np.stack([MONO, OTHER])
MIX = STEREO.mean(axis=0)


class Decoder:
    """As TorchCodec's, of which rows of new releases of Hugging Face Datasets are."""

    def get_all_samples(self) -> Any:
        return SimpleNamespace(data=torch.from_numpy(STEREO), sample_rate=RATE_HZ)


def samples(source: Any, *arguments: Any) -> np.ndarray:
    wave = as_recording(source, *arguments)
    assert isinstance(wave, Waveform)
    assert wave.sample_rate_hz == RATE_HZ
    assert len(wave) == 1
    return wave.samples[0].numpy()


def test_paths_and_waveforms_stay_as_they_are() -> None:
    wave = Waveform.of(torch.from_numpy(STEREO), RATE_HZ)
    for source in ("a.wav", Path("a.wav"), wave):
        assert as_recording(source) is source


TAKEN = {
    "array": (MONO, RATE_HZ),
    "float64": (MONO.astype(np.float64), RATE_HZ),
    "tensor": (torch.from_numpy(MONO), RATE_HZ),
    "tensor that needs a gradient": (torch.from_numpy(MONO).requires_grad_(), RATE_HZ),
    "row": (MONO[None], RATE_HZ),
    "column": (MONO[:, None], RATE_HZ),
    "whole float as rate": (MONO, 16000.0),
    "rate of NumPy": (MONO, np.int64(RATE_HZ)),
    "pair": ((RATE_HZ, MONO),),
    "pair of SoundFile, Librosa and torchaudio": ((torch.from_numpy(MONO), RATE_HZ),),
    "row of Datasets": ({"array": MONO, "sampling_rate": RATE_HZ, "path": "a.wav"},),
    "other byte order": (MONO.astype(">f4"), RATE_HZ),
    "reversed": (MONO[::-1].copy()[::-1], RATE_HZ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_samples_in_every_form_are_the_same_recording(name: str) -> None:
    np.testing.assert_array_equal(samples(*TAKEN[name]), MONO)


@pytest.mark.filterwarnings("error")
def test_an_array_that_cannot_be_written_is_read_without_a_warning() -> None:
    array = MONO.copy()
    array.setflags(write=False)
    np.testing.assert_array_equal(samples(array, RATE_HZ), MONO)


@pytest.mark.parametrize("source", [(STEREO, RATE_HZ), (STEREO.T, RATE_HZ), (Decoder(),)], ids=["2S", "S2", "decoder"])
def test_two_channels_are_mixed_whichever_axis_they_are(source: tuple[Any, ...]) -> None:
    np.testing.assert_allclose(samples(*source), MIX, atol=1e-7)


def test_a_channel_can_be_chosen_and_a_silent_one_is_left_out_with_a_warning() -> None:
    np.testing.assert_array_equal(samples(STEREO.T, RATE_HZ, "right"), OTHER)
    with pytest.warns(AudioWarning, match="the right channel is silent"):
        np.testing.assert_array_equal(samples(np.stack([MONO, 0 * MONO]), RATE_HZ), MONO)
    with pytest.raises(AudioError, match="only one channel"):
        as_recording(MONO, RATE_HZ, "right")


@pytest.mark.parametrize(("kind", "scale"), [(np.int16, 2**15), (np.int32, 2**31), (np.int8, 2**7)])
def test_integers_are_scaled_by_their_type(kind: type, scale: int) -> None:
    whole = np.round(STEREO * (min(scale, 2**20) - 1)).astype(np.int64) * (scale // min(scale, 2**20))
    array = whole.astype(kind)
    np.testing.assert_allclose(samples((RATE_HZ, array.T)), (array / scale).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(samples((RATE_HZ, array[0])), array[0] / scale, atol=1e-7)


def spoiled(value: float) -> np.ndarray:
    array = STEREO.copy()
    array[1, 500] = value
    return array


REFUSED = {
    "no rate": ((MONO,), "an array of float32 and shape .8000,. has no sample rate: say it with sample_rate_hz="),
    "no rate in a pair": (((None, MONO),), "the sample rate of an array is a number of Hz, as 16000, got None"),
    "no rate in a row": (({"array": MONO},), "is a number of Hz, as 16000, got None"),
    "text as rate": (((str(RATE_HZ), MONO),), "is a number of Hz, as 16000, got '16000'"),
    "truth as rate": ((MONO, True), "is a number of Hz, as 16000, got True"),
    "rate that is no number": ((MONO, math.nan), "must be a positive whole number of Hz, got nan"),
    "fraction as rate": ((MONO, 16000.5), "must be a positive whole number of Hz, got 16000.5"),
    "kHz": ((MONO, 16), "its sample rate is 16 Hz, but 2000 to 768000 Hz were expected"),
    "two rates": (((RATE_HZ, MONO), RATE_HZ), "sample_rate_hz is only for a tensor or an array; a tuple has its own"),
    "rate of a file": (("a.wav", RATE_HZ), "sample_rate_hz is only for a tensor or an array; 'a.wav' has its own"),
    "NaN": ((spoiled(math.nan), RATE_HZ), "1 of 16000 samples are NaN or infinite"),
    "infinity": ((spoiled(-math.inf).T, RATE_HZ), "1 of 16000 samples are NaN or infinite"),
    "integers as floats": ((MONO * 32768, RATE_HZ), "They look like integers that were not scaled"),
    "int64": ((np.zeros(RATE_HZ, np.int64), RATE_HZ), "or integers of 8, 16 or 32 bits, got torch.int64; convert them"),
    "uint16": ((np.zeros(RATE_HZ, np.uint16), RATE_HZ), "or integers of 8, 16 or 32 bits, got torch.uint16"),
    "truths": ((np.zeros(RATE_HZ, bool), RATE_HZ), "got torch.bool"),
    "complex": ((np.zeros(RATE_HZ, complex), RATE_HZ), "got torch.complex128"),
    "long double": ((np.zeros(RATE_HZ, np.longdouble), RATE_HZ), "samples must be numbers|samples must be floats"),
    "batch": ((np.stack([MONO] * 4), RATE_HZ), r"got \(4, 8000\). Pass one recording at a time, as array\[0\]"),
    "three axes": (
        (STEREO[None], RATE_HZ),
        r"or that of one or two channels, \(C, S\) or \(S, C\); got \(1, 2, 8000\)",
    ),
    "either axis": ((STEREO[:, :2], RATE_HZ), r"got \(2, 2\)"),
    "a number": ((5,), "a recording is the path of a sound file, .* got 5"),
    "nothing": ((None,), "got None"),  # Gradio, if nobody recorded anything
    "row without audio": (({"text": "hello"},), r'\{"array": …, "sampling_rate": …\}; got a dict'),
    "list of numbers": (([0.0, 0.1],), "got a list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_with_what_is_taken(name: str) -> None:
    arguments, message = REFUSED[name]
    with pytest.raises(AudioError, match=message):
        as_recording(*arguments)


def test_one_recording_and_several_are_told_apart() -> None:
    pair = (RATE_HZ, MONO)
    for one in ("a.wav", pair, pair[::-1], {"array": MONO, "sampling_rate": RATE_HZ}, Decoder()):
        assert len(as_recordings(one)) == 1
    assert len(as_recordings(MONO, RATE_HZ)) == 1
    assert as_recordings(("a.wav", "b.wav")) == ["a.wav", "b.wav"]
    assert as_recordings(np.array(["a.wav", "b.wav"])) == ["a.wav", "b.wav"]
    assert as_recordings(path for path in ("a.wav", "b.wav")) == ["a.wav", "b.wav"]
    assert len(as_recordings([pair, "a.wav", Decoder()])) == 3
    assert len(as_recordings((MONO, OTHER), RATE_HZ)) == 2
    with pytest.raises(AudioError, match="got 5"):
        as_recordings(5)  # type: ignore[arg-type]
