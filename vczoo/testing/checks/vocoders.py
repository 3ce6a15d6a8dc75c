"""What a vocoder promises: a `Specimen` of one in; nothing out, or a `ContractError` that says what is broken."""

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

COUNTS = (16, 5, 1)  # frames of the items of a batch
MANY = (1, 2, 3, 7, 12)


def shapes(specimen: Specimen) -> None:
    """The waveform has the rate of `accepts`, and T - 1 to T hops of samples, for many lengths."""
    vocoder = specimen.copy()
    expect_kind(getattr(vocoder, "accepts", None), MelSpec | FrameSpec, "`accepts`")
    hop, rate = vocoder.accepts.hop_length, vocoder.accepts.sample_rate_hz
    for count in MANY:
        with torch.inference_mode():
            wave = vocoder(Frames.of(random_frames(vocoder.accepts.channels, 0, count=count)[:1] - 5))
        expect(wave.sample_rate_hz == rate, f"the waveform has the rate of `accepts`, {rate} Hz")
        made, least, most = int(wave.lengths[0]), (count - 1) * hop, count * hop
        expect(least <= made <= most, f"{count} frames give {least} to {most} samples, got {made}")
        expect(wave.samples.shape[1] >= made, f"there are as many samples as the length says, {made}")
        expect(bool(wave.samples.isfinite().all()), f"the waveform of {count} frames is finite")


def batch(specimen: Specimen) -> None:
    """A batch gives what its items give alone, and no padding is read."""
    vocoder = specimen.copy()
    frames = _frames(specimen)
    hop = vocoder.accepts.hop_length
    with torch.inference_mode():
        wave = vocoder(frames)
        for index, count in enumerate(COUNTS):
            made, least, most = int(wave.lengths[index]), (count - 1) * hop, count * hop
            expect(least <= made <= most, f"{count} frames give {least} to {most} samples, got {made}")
            alone = vocoder(frames[index]).samples
            expect_same(wave.samples[[index], :made], alone, f"a batch gives what its items give alone (item {index})")


def follow(specimen: Specimen) -> None:
    """`follow` gives as much as `forward`, finite, whatever went before."""
    vocoder = specimen.copy()
    frames, rate = _frames(specimen)[0], vocoder.accepts.sample_rate_hz
    with torch.inference_mode():
        before = vocoder(frames).samples[0]
        for count in (0, vocoder.accepts.hop_length + 1, len(before)):  # nothing, less than a window, all
            after = vocoder.follow(frames, Waveform.of(before[:count], rate))
            expect(after.sample_rate_hz == rate, f"`follow` gives the rate of `accepts`, {rate} Hz")
            expect_shape(after.samples, (1, len(before)), f"`follow` after {count} samples is as `forward` long")
            expect(bool(after.samples.isfinite().all()), f"`follow` after {count} samples is finite")


def gradients(specimen: Specimen) -> None:
    """A finite gradient reaches every parameter through `rebuild`, whose waveform is as long as that of `forward`."""
    vocoder = specimen.copy().train().requires_grad_(True)
    if any(True for _ in vocoder.parameters()):
        frames = _frames(specimen)[0]  # one alone, as long as its recording
        made = vocoder.rebuild(frames, excerpt_of(vocoder.accepts, frames))
        expect_shape(made.samples, tuple(vocoder(frames).samples.shape), "`rebuild` gives what `forward` does")
        expect_gradients(vocoder, made.samples.square().mean())


def _frames(specimen: Specimen) -> Frames:
    channels = specimen.part.accepts.channels
    rows = [random_frames(channels, seed, count=COUNTS[0])[:1] - 5 for seed in range(len(COUNTS))]
    return padded_with_nan(torch.cat(rows), COUNTS)


VOCODER_CHECKS = (shapes, batch, follow, gradients)
