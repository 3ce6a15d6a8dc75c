from __future__ import annotations

import math

import pytest

from vczoo.audio.specs import FrameSpec, MelSpec, check_contract, mismatches
from vczoo.errors import ContractError


def test_frame_rate() -> None:
    assert FrameSpec(16000, 320, 384).frame_rate_hz == 50


@pytest.mark.parametrize("name", ["sample_rate_hz", "hop_length", "channels"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "320"])
def test_frame_spec_takes_positive_whole_numbers(name, value) -> None:
    fields = {"sample_rate_hz": 16000, "hop_length": 320, "channels": 384, name: value}
    with pytest.raises(ContractError, match=f"{name} must be a positive whole number, got {value!r}"):
        FrameSpec(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_mels": 0}, "num_mels must be a positive whole number"),
        ({"hop_length": 2048}, "hop_length 2048 exceeds fft_length 1024"),
        ({"max_hz": 8001}, r"max_hz <= 8000 Hz \(half the sample rate\) must hold"),
        ({"min_hz": 8000.0}, "got min_hz=8000, max_hz=8000"),
        ({"min_hz": -1.0}, "0 <= min_hz"),
        ({"max_hz": math.nan}, "max_hz=nan"),
        ({"floor": 0.0}, r"floor must be above 0, got 0\.0"),
        ({"floor": math.nan}, "floor must be above 0, got nan"),
    ],
)
def test_mel_spec_refuses_what_cannot_be(fields, message) -> None:
    with pytest.raises(ContractError, match=message):
        MelSpec(**fields)


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (159, 1), (160, 2), (16000, 101)])
def test_num_frames(samples, frames) -> None:
    assert MelSpec().num_frames(samples) == frames


def test_mel_channels_are_its_bands() -> None:
    assert MelSpec(num_mels=64).channels == 64


def test_mismatches_lists_every_field() -> None:
    made, wanted = MelSpec(), MelSpec(num_mels=100, hop_length=256)
    assert mismatches(made, made) == []
    assert mismatches(made, wanted) == [
        "num_mels is 80, expected 100",
        "hop_length is 160, expected 256",
    ]


def test_mismatches_names_kinds_that_differ() -> None:
    assert mismatches(FrameSpec(16000, 160, 80), MelSpec()) == [
        "the producer's spec is a FrameSpec, expected a MelSpec"
    ]


def test_check_contract_names_both_parts_and_every_disagreement() -> None:
    check_contract("decoder", MelSpec(), "vocoder", MelSpec())
    with pytest.raises(ContractError, match=r"decoder does not fit vocoder: num_mels .*; hop_length .*same MelSpec"):
        check_contract("decoder", MelSpec(), "vocoder", MelSpec(num_mels=100, hop_length=256))
