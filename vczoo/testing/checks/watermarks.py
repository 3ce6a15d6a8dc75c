"""Conformance checks of watermarks. Each check takes a `Specimen` and raises `ContractError` if it fails."""

from __future__ import annotations

import math

import torch

from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.testing.checks.expectations import expect, expect_shape, noise
from vczoo.testing.checks.specimen import Specimen

__all__ = ["WATERMARK_CHECKS"]

LEAST_SNR_DB = 20.0  # level of the recording over that of an inaudible watermark
RECORDINGS = ((1, 16000), (400, 24000), (48000, 16000), (72000, 24000), (96000, 48000))  # samples and rates in Hz


def shapes(specimen: Specimen) -> None:
    """A recording keeps its shape and rate, stays finite, and the input is not changed."""
    watermark = specimen.copy()
    for clean, where in _recordings():
        before = clean.samples.clone()
        with torch.inference_mode():
            marked = watermark.embed(clean)
        expect_shape(marked.samples, tuple(before.shape), f"a recording {where} must keep its shape")
        expect(
            marked.sample_rate_hz == clean.sample_rate_hz,
            f"a recording {where} must keep its rate, got {marked.sample_rate_hz} Hz",
        )
        expect(bool(marked.samples.isfinite().all()), f"a recording {where} with a watermark must be finite")
        expect(torch.equal(clean.samples, before), "`embed` must not change its input")


def repeats(specimen: Specimen) -> None:
    """`embed` gives the same result for the same recording."""
    watermark = specimen.copy()
    for clean, _ in _recordings():
        with torch.inference_mode():
            expect(
                torch.equal(watermark.embed(clean).samples, watermark.embed(clean).samples),
                "`embed` must give the same result for the same recording",
            )


def quiet(specimen: Specimen) -> None:
    """A trained watermark is quiet. Random weights are not checked, since they hide and detect nothing."""
    watermark = specimen.copy()
    for clean, where in _recordings() if specimen.trained else ():
        with torch.inference_mode():
            added = watermark.embed(clean).samples - clean.samples
        noise_db = 10 * math.log10(float(added.square().mean() / clean.samples.square().mean()) + 1e-12)
        message = f"a watermark must be {LEAST_SNR_DB:g} dB below the recording, got {-noise_db:.1f} dB {where}"
        expect(-noise_db >= LEAST_SNR_DB, message)


def detect(specimen: Specimen) -> None:
    """`detect` returns a probability, and a trained one distinguishes recordings with and without the watermark."""
    watermark = specimen.copy()
    for clean, where in _recordings():
        with torch.inference_mode():
            scores = [watermark.detect(wave) for wave in (clean, watermark.embed(clean))]
        expect(all(0 <= score <= 1 for score in scores), f"`detect` must return a probability, got {scores} {where}")
        if specimen.trained and clean.samples.shape[1] >= clean.sample_rate_hz:
            expect(
                scores[0] < 0.5 <= scores[1],
                f"`detect` must return 0.5 or more for a recording {where} with the watermark and less without it, "
                f"got {scores[1]:.3f} and {scores[0]:.3f}",
            )


def _recordings() -> list[tuple[Waveform, str]]:
    return [
        (noise(FrameSpec(rate, 100, 1), samples / 100, seed), f"of {samples} samples at {rate} Hz")
        for seed, (samples, rate) in enumerate(RECORDINGS)
    ]


WATERMARK_CHECKS = (shapes, repeats, quiet, detect)
