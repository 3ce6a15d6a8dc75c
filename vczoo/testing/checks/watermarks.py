"""What a watermark promises: a `Specimen` of one in; nothing out, or a `ContractError` that says what is broken."""

from __future__ import annotations

import math

import torch

from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.testing.checks.expectations import expect, expect_shape, noise
from vczoo.testing.checks.specimen import Specimen

__all__ = ["WATERMARK_CHECKS"]

LEAST_SNR_DB = 20.0  # of a watermark that is not heard, against the recording
RECORDINGS = ((1, 16000), (400, 24000), (48000, 16000), (72000, 24000), (96000, 48000))  # samples and rates in Hz


def shapes(specimen: Specimen) -> None:
    """A recording keeps its shape and rate, is finite, and what was given is left as it is."""
    watermark = specimen.copy()
    for clean, where in _recordings():
        before = clean.samples.clone()
        with torch.inference_mode():
            made = watermark.embed(clean)
        expect_shape(made.samples, tuple(before.shape), f"a recording {where} keeps its shape")
        expect(
            made.sample_rate_hz == clean.sample_rate_hz,
            f"a recording {where} keeps its rate, got {made.sample_rate_hz} Hz",
        )
        expect(bool(made.samples.isfinite().all()), f"a recording {where} with a watermark is finite")
        expect(torch.equal(clean.samples, before), "`embed` leaves what it is given as it is")


def repeats(specimen: Specimen) -> None:
    """The same recording gives the same."""
    watermark = specimen.copy()
    for clean, _ in _recordings():
        with torch.inference_mode():
            expect(
                torch.equal(watermark.embed(clean).samples, watermark.embed(clean).samples),
                "the same recording gives the same",
            )


def quiet(specimen: Specimen) -> None:
    """It is not heard, where its weights are trained: random ones neither hide nor find anything."""
    watermark = specimen.copy()
    for clean, where in _recordings() if specimen.trained else ():
        with torch.inference_mode():
            added = watermark.embed(clean).samples - clean.samples
        noise_db = 10 * math.log10(float(added.square().mean() / clean.samples.square().mean()) + 1e-12)
        promise = f"a watermark is {LEAST_SNR_DB:g} dB below the recording, got {-noise_db:.1f} dB {where}"
        expect(-noise_db >= LEAST_SNR_DB, promise)


def detect(specimen: Specimen) -> None:
    """`detect` gives a probability, and tells a recording with the watermark from one without."""
    watermark = specimen.copy()
    for clean, where in _recordings():
        with torch.inference_mode():
            found = [watermark.detect(wave) for wave in (clean, watermark.embed(clean))]
        expect(all(0 <= value <= 1 for value in found), f"`detect` gives a probability, got {found} {where}")
        if specimen.trained and clean.samples.shape[1] >= clean.sample_rate_hz:
            apart = f"`detect` tells a recording {where} with the watermark (0.5 or more) from one without"
            expect(found[0] < 0.5 <= found[1], f"{apart}, got {found[1]:.3f} and {found[0]:.3f}")


def _recordings() -> list[tuple[Waveform, str]]:
    return [
        (noise(FrameSpec(rate, 100, 1), samples / 100, seed), f"of {samples} samples at {rate} Hz")
        for seed, (samples, rate) in enumerate(RECORDINGS)
    ]


WATERMARK_CHECKS = (shapes, repeats, quiet, detect)
