from __future__ import annotations

import math

import pytest
import torch

from vczoo.audio.frames import Frames
from vczoo.audio.specs import MelSpec
from vczoo.errors import ContractError
from vczoo.modules.backbones.mel_image import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    LOUDEST_LOG_MEL,
    frames_from_map,
    mel_image,
)

SPEC = MelSpec()
BLACK = math.log(SPEC.floor)
GREY = {"mean": (0.0,), "deviation": (1.0,)}


def mels(*lengths: int) -> Frames:
    values = torch.rand(len(lengths), max(lengths), 80, generator=torch.Generator().manual_seed(0)) * 12 - 11
    for row, length in zip(values, lengths, strict=True):
        row[length:] = float("nan")
    return Frames(values, torch.tensor(lengths))


def test_floor_is_black_and_a_full_scale_tone_white() -> None:
    mel = Frames.of(torch.full((32, 80), BLACK))
    assert mel_image(mel, SPEC, width_multiple=32, **GREY).abs().max() < 1e-6
    white = mel_image(mel.with_values(torch.full((1, 32, 80), LOUDEST_LOG_MEL)), SPEC, width_multiple=32, **GREY)
    torch.testing.assert_close(white, torch.ones(1, 1, 80, 32))


@pytest.mark.parametrize(("length", "width"), [(1, 32), (32, 32), (33, 64)])
def test_width_is_the_next_multiple(length, width) -> None:
    assert mel_image(mels(length), SPEC, width_multiple=32).shape == (1, 3, 80, width)


def test_time_runs_along_the_width_and_bands_along_the_height() -> None:
    values = torch.full((1, 32, 80), BLACK)
    values[0, 5, 70] = LOUDEST_LOG_MEL
    image = mel_image(Frames.of(values), SPEC, width_multiple=32, **GREY)
    assert (image > 0.5).nonzero().tolist() == [[0, 0, 70, 5]]


def test_what_follows_an_utterance_is_black() -> None:
    image = mel_image(mels(10, 40), SPEC, width_multiple=32, **GREY)
    assert torch.isfinite(image).all()
    assert image[0, :, :, 10:].abs().max() < 1e-6
    assert image[0, :, :, :10].abs().min() > 1e-6
    assert image[1, :, :, 40:].abs().max() < 1e-6


def test_an_image_does_not_depend_on_its_batch() -> None:
    batch = mels(10, 40)
    alone = mel_image(batch[0], SPEC, width_multiple=32)
    torch.testing.assert_close(mel_image(batch, SPEC, width_multiple=32)[:1, :, :, :32], alone)


def test_channels_are_normalised_as_imagenet() -> None:
    black = mel_image(Frames.of(torch.full((32, 80), BLACK)), SPEC, width_multiple=32)[0, :, 0, 0]
    wanted = [-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
    torch.testing.assert_close(black, torch.tensor(wanted), atol=1e-5, rtol=0)


def test_other_bands_are_refused() -> None:
    with pytest.raises(ContractError, match="expected a mel of 80 bands, got 64"):
        mel_image(Frames.of(torch.zeros(4, 64)), SPEC, width_multiple=32)


def test_frames_from_map_keeps_every_value_in_its_column() -> None:
    activation = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    frames = frames_from_map(activation, torch.tensor([5, 2]))
    assert frames.values.shape == (2, 5, 12)
    assert frames.lengths.tolist() == [5, 2]
    for column in range(5):
        torch.testing.assert_close(frames.values[:, column], activation[..., column].flatten(1))
    back = frames.values.unflatten(2, (3, 4)).permute(0, 2, 3, 1)
    torch.testing.assert_close(back, activation)


def test_frames_from_map_have_channels_and_frequencies_side_by_side() -> None:
    activation = torch.rand(2, 3, 4, 8)
    frames = frames_from_map(activation, torch.tensor([5, 2]))
    assert frames.lengths.tolist() == [5, 2]
    assert frames.values.shape == (2, 8, 12)
    assert torch.equal(frames.values[1, 6], activation[1, :, :, 6].flatten())


def test_frames_from_map_refuses_other_shapes() -> None:
    with pytest.raises(ContractError, match=r"\(B, C, F, T\).*got \(2, 3, 4\)"):
        frames_from_map(torch.zeros(2, 3, 4), torch.tensor([4, 4]))
