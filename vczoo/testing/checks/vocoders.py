"""Conformance checks of vocoders. Each check takes a `Specimen` and raises `ContractError` if it fails."""

from __future__ import annotations

import torch

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.testing.checks.expectations import (
    expect,
    expect_gradients,
    expect_kind,
    expect_same,
    expect_shape,
    padded_with_nan,
)
from vczoo.testing.checks.specimen import Specimen, excerpt_of, random_frames

__all__ = ["VOCODER_CHECKS"]

COUNTS = (16, 5, 1)  # frames of each item of a batch
SINGLE_COUNTS = (1, 2, 3, 7, 12)  # frames of recordings that are vocoded one by one


def shapes(specimen: Specimen) -> None:
    """The waveform has the sample rate of `accepts`, and T - 1 to T hops of samples, for several lengths."""
    vocoder = specimen.copy()
    expect_kind(getattr(vocoder, "accepts", None), MelSpec | FrameSpec, "`accepts`")
    hop, rate = vocoder.accepts.hop_length, vocoder.accepts.sample_rate_hz
    for count in SINGLE_COUNTS:
        with torch.inference_mode():
            wave = vocoder(Frames.of(random_frames(vocoder.accepts.channels, 0, count=count)[:1] - 5))
        expect(wave.sample_rate_hz == rate, f"the waveform must have the rate of `accepts`, {rate} Hz")
        length, least, most = int(wave.lengths[0]), (count - 1) * hop, count * hop
        expect(least <= length <= most, f"{count} frames must give {least} to {most} samples, got {length}")
        expect(wave.samples.shape[1] >= length, f"the waveform must have as many samples as its length says, {length}")
        expect(bool(wave.samples.isfinite().all()), f"the waveform of {count} frames must be finite")


def batch(specimen: Specimen) -> None:
    """An item gives the same waveform in a batch as by itself, so that padding is not read."""
    vocoder = specimen.copy()
    frames = _frames(specimen)
    hop = vocoder.accepts.hop_length
    with torch.inference_mode():
        wave = vocoder(frames)
        for index, count in enumerate(COUNTS):
            length, least, most = int(wave.lengths[index]), (count - 1) * hop, count * hop
            expect(least <= length <= most, f"{count} frames must give {least} to {most} samples, got {length}")
            single = vocoder(frames[index]).samples
            requirement = f"an item must give the same waveform in a batch as by itself (item {index})"
            expect_same(wave.samples[[index], :length], single, requirement)


def follow(specimen: Specimen) -> None:
    """`follow` returns as many samples as `forward`, all finite, after any number of earlier samples."""
    vocoder = specimen.copy()
    frames, rate = _frames(specimen)[0], vocoder.accepts.sample_rate_hz
    with torch.inference_mode():
        before = vocoder(frames).samples[0]
        for count in (0, vocoder.accepts.hop_length + 1, len(before)):  # no samples, less than a window, all of them
            after = vocoder.follow(frames, Waveform.of(before[:count], rate))
            expect(after.sample_rate_hz == rate, f"`follow` must return the rate of `accepts`, {rate} Hz")
            expect_shape(
                after.samples, (1, len(before)), f"`follow` after {count} samples must be as long as `forward`"
            )
            expect(bool(after.samples.isfinite().all()), f"`follow` after {count} samples must be finite")


def gradients(specimen: Specimen) -> None:
    """Through `rebuild`, a finite gradient reaches every parameter. `rebuild` is as long as `forward`."""
    vocoder = specimen.copy().train().requires_grad_(True)
    if any(True for _ in vocoder.parameters()):
        frames = _frames(specimen)[0]  # a single item, as long as its recording
        rebuilt = vocoder.rebuild(frames, excerpt_of(vocoder.accepts, frames))
        expect_shape(rebuilt.samples, tuple(vocoder(frames).samples.shape), "`rebuild` must be as long as `forward`")
        expect_gradients(vocoder, rebuilt.samples.square().mean())


def _frames(specimen: Specimen) -> Frames:
    channels = specimen.part.accepts.channels
    rows = [random_frames(channels, seed, count=COUNTS[0])[:1] - 5 for seed in range(len(COUNTS))]
    return padded_with_nan(torch.cat(rows), COUNTS)


VOCODER_CHECKS = (shapes, batch, follow, gradients)
