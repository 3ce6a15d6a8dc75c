from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import synthetic_utterance
from vczoo.audio.waveform import Waveform
from vczoo.ui.clip_worth import clip_worth, together


def speech(seed: int = 0, gain: float = 1.0) -> Waveform:
    parts = [np.append(synthetic_utterance(seed + n, 120.0, 1.0), np.zeros(3200)) for n in range(4)]
    return Waveform.of(torch.from_numpy(gain * np.concatenate(parts)), 16000)


def test_good_speech_has_no_remark() -> None:
    worth = clip_worth("clip.wav", speech())
    assert worth.remarks == ()
    assert 3.0 < worth.speech_seconds < 6.0
    assert -25 < worth.level_dbfs < -8
    assert worth.range_db > 15


@pytest.mark.parametrize(
    ("wave", "remark"),
    [
        (speech(gain=0.01), "very soft"),
        (Waveform.of((20 * speech().samples).clamp(-1, 1), 16000), "cut off"),
        (Waveform.of(0.1 * torch.randn(16000 * 3, generator=torch.Generator().manual_seed(0)), 16000), "never changes"),
        (Waveform.of(speech().samples[0, :8000], 16000), "too short"),
    ],
    ids=["soft", "clipped", "noise", "short"],
)
def test_what_speaks_against_a_clip_is_said(wave: Waveform, remark: str) -> None:
    assert any(remark in sentence for sentence in clip_worth("clip.wav", wave).remarks)


def test_two_people_show_only_between_clips() -> None:
    def embed(wave: Waveform) -> torch.Tensor:
        loud = wave.samples.abs().amax(dim=1) > 0.4
        return torch.stack([loud.float(), (~loud).float()], dim=1)

    first, second = speech(), speech(seed=4, gain=0.5)
    remarks = together([first, second], embed)
    assert "s of speech" in remarks[0]
    assert any("another speaker" in remark for remark in remarks)
    assert not any("another speaker" in remark for remark in together([first], embed))
