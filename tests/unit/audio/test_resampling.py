"""Resampling: blocks equal the whole, aliases are suppressed, any pair of rates works."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soxr
import torch

from vczoo.audio import resampling
from vczoo.audio.resampling import BlockResampler, resample
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError


def tone(hz: float, rate_hz: int, seconds: float = 1.0) -> torch.Tensor:
    return torch.from_numpy(np.sin(2 * math.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz).astype(np.float32))


def middle_db(samples: torch.Tensor) -> float:
    """Level of the middle half in dB relative to a full-scale sine."""
    part = samples[len(samples) // 4 : 3 * len(samples) // 4].double()
    return float(10 * torch.log10(2 * part.square().mean() + 1e-20))


@pytest.mark.parametrize(
    ("old", "new"), [(48000, 16000), (44100, 16000), (16000, 24000), (8000, 16000), (16000, 16000), (11127, 16000)]
)
@pytest.mark.parametrize("block", [13, 4096, 50000])
@pytest.mark.parametrize("count", [1, 700, 30011])
def test_blocks_equal_the_whole(old: int, new: int, block: int, count: int) -> None:
    samples = torch.rand(count, generator=torch.Generator().manual_seed(1)) - 0.5
    resampler = BlockResampler(old, new)
    output, consumed = [], 0
    for part in torch.split(samples, block):
        consumed += len(part)
        output.append(resampler.push(part))
        behind = consumed / old - sum(map(len, output)) / new
        assert behind <= resampler.delay_seconds + block / old
    output.append(resampler.finish())
    whole = Waveform.of(samples, old).resample(new).samples[0]
    assert torch.equal(torch.cat(output), whole)
    assert abs(len(whole) - count * new / old) <= 0.5


def test_nothing_gives_nothing() -> None:
    assert BlockResampler(44100, 16000).finish().shape == (0,)
    assert BlockResampler(16000, 16000).finish().shape == (0,)


def in_torch(samples: torch.Tensor, old: int, new: int) -> torch.Tensor:
    return resample(samples.clone().requires_grad_(), old, new).detach()


@pytest.mark.parametrize("function", [resample, in_torch])
@pytest.mark.parametrize(("old", "new"), [(48000, 16000), (44100, 16000), (16000, 24000), (16000, 44100)])
def test_a_tone_passes_and_an_alias_does_not(function: object, old: int, new: int) -> None:
    assert callable(function)
    lower = min(old, new) / 2
    assert middle_db(function(tone(0.85 * lower, old), old, new)) == pytest.approx(0, abs=0.05)
    if new < old:
        assert middle_db(function(tone(1.1 * lower, old), old, new)) < -95


def test_torch_agrees_with_soxr() -> None:
    noise = torch.randn(20000, generator=torch.Generator().manual_seed(0)) * 0.1
    speech_band = torch.from_numpy(soxr.resample(soxr.resample(noise.numpy(), 16000, 8000), 8000, 44100))
    first, second = resample(speech_band, 44100, 16000), in_torch(speech_band, 44100, 16000)
    assert len(first) == len(second)
    torch.testing.assert_close(first[200:-200], second[200:-200], rtol=0, atol=2e-4)


def test_a_gradient_passes_also_after_inference() -> None:
    resampling._kernel.cache_clear()
    samples = torch.ones(100, requires_grad=True)
    with torch.inference_mode():
        resampling._resample_in_torch(torch.ones(100), 16000, 8000)
    Waveform.of(samples, 16000).resample(8000).samples.sum().backward()  # type: ignore[no-untyped-call]
    assert samples.grad is not None


def test_items_of_a_batch_equal_themselves_resampled_alone() -> None:
    items = [Waveform.of(tone(300, 44100, seconds), 44100) for seconds in (0.5, 0.3)]
    batch = Waveform.batch(items).resample(16000)
    for index, item in enumerate(items):
        assert torch.equal(batch[index].samples, item.resample(16000).samples)
    assert not batch.samples[1, 4800:].any()


def test_a_gradient_needs_rates_with_a_common_factor() -> None:
    samples = torch.rand(22257, requires_grad=True)
    with pytest.raises(AudioError, match=r"22257 Hz cannot be resampled to 16000 Hz in torch: .* factor is 1"):
        Waveform.of(samples, 22257).resample(16000)


def test_the_default_dtype_does_not_matter() -> None:
    expected = resample(tone(300, 44100), 44100, 16000)
    torch.set_default_dtype(torch.float64)
    try:
        resampler = BlockResampler(44100, 16000)
        output = torch.cat([resampler.push(tone(300, 44100)), resampler.finish()])
        assert output.dtype == torch.float32
        assert torch.equal(output, expected)
        assert in_torch(tone(300, 44100), 44100, 16000).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("rate_hz", [0, -1, 16000.5, float("inf"), float("nan")])
def test_rates_that_are_none(rate_hz: float) -> None:
    with pytest.raises(AudioError, match="positive whole number of Hz, got"):
        BlockResampler(rate_hz, 16000)  # type: ignore[arg-type]
