"""Copies through a vocoder's mel: their length, and how far they are from the recordings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.training.vocoder.resynthesis import copy_through, distances, griffin_lim_like


class Fixed(Vocoder):
    """Makes a constant, hop by hop, whatever it reads."""

    def __init__(self, value: float, accepts: MelSpec | FrameSpec = MelSpec()) -> None:  # noqa: B008  (it is frozen)
        super().__init__()
        self.value, self.accepts = value, accepts

    def forward(self, frames: Frames) -> Waveform:
        hops = frames.values.shape[1] - 1
        return Waveform.of(torch.full((len(frames), hops * self.accepts.hop_length), self.value), 16000)


def test_a_copy_is_as_long_as_the_recording() -> None:
    """1,000 samples are 7 frames, of which 6 hops are made: 960 samples, then silence."""
    copy = copy_through(Fixed(0.5), Waveform.of(torch.zeros(1000), 16000)).samples[0]
    assert copy.shape == (1000,)
    assert bool((copy[:960] == 0.5).all())
    assert not copy[960:].any()


def test_a_vocoder_of_features_cannot_be_given_a_recording_alone() -> None:
    with pytest.raises(ContractError, match="reads a backbone's frames"):
        copy_through(Fixed(0.5, FrameSpec(16000, 320, 8)), Waveform.of(torch.zeros(1000), 16000))


def test_distances_are_0_for_a_perfect_copy_and_averaged_over_recordings() -> None:
    constant = Waveform.of(torch.full((1600,), 0.5), 16000)
    none = distances(Fixed(0.5), [constant], MelSpec())
    assert none == {"mel": 0.0, "stft": 0.0}
    other = Waveform.of(torch.full((1600,), 0.25), 16000)
    apart = distances(Fixed(0.5), [other], MelSpec())
    both = distances(Fixed(0.5), [constant, other], MelSpec())
    assert min(apart.values()) > 0.1
    assert both == {name: pytest.approx(value / 2) for name, value in apart.items()}


def test_griffin_lim_is_nearer_to_speech_than_nothing(voices_folder: Path) -> None:
    spec = MelSpec(log_base="10", padding="reflect", max_hz=7600.0, hop_length=256)
    baseline = griffin_lim_like(spec)
    assert (baseline.accepts.hop_length, baseline.accepts.num_mels) == (256, 80)
    wave = Waveform.read(voices_folder / "alice" / "0.wav", 16000)
    copies, silence = distances(baseline, [wave], spec), distances(Fixed(0.0), [wave], spec)
    assert copies["mel"] < 0.2 * silence["mel"]
    assert copies["stft"] < 0.5 * silence["stft"]


def test_griffin_lim_of_a_long_hop_is_still_had() -> None:
    assert griffin_lim_like(MelSpec(hop_length=800)).accepts.hop_length == 512
