from __future__ import annotations

import math

import pytest
import torch

from vczoo.audio.waveform import Waveform
from vczoo.training.features.augment import Version, as_heard


@pytest.mark.parametrize("rate_hz", [16000, 22050])
def test_a_faster_recording_is_shorter_and_higher(rate_hz: int) -> None:
    sine = torch.sin(2 * math.pi * 440 * torch.arange(rate_hz) / rate_hz)
    heard = as_heard(Waveform.of(sine, rate_hz), Version(1.07))  # 22050 * 1.07 Hz has the factor 2 in common with it
    assert heard.sample_rate_hz == rate_hz
    assert heard.seconds == pytest.approx(1 / 1.07, abs=1e-3)
    spectrum = torch.fft.rfft(heard.samples[0]).abs()
    assert float(spectrum.argmax()) / heard.seconds == pytest.approx(440 * 1.07, abs=1)
