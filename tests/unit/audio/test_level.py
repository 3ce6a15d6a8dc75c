"""The level of a recording, transferred to another one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vczoo.audio.level import follow_level

RATE_HZ = 16000


def tone(amplitude: float, seconds: float = 2.0, hz: float = 200.0) -> Tensor:
    return amplitude * torch.sin(2 * math.pi * hz * torch.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def level_db(samples: Tensor) -> float:
    return 10 * math.log10(float(samples.square().mean()))


def test_a_softer_second_half_comes_out_softer() -> None:
    source = torch.cat([tone(0.5), tone(0.05)])
    followed = follow_level(tone(0.2, 4.0, 300.0), source, RATE_HZ)
    halves = [level_db(followed[:24000]), level_db(followed[40000:])]
    assert halves[0] == pytest.approx(level_db(tone(0.5)), abs=0.2)
    assert halves[0] - halves[1] == pytest.approx(20.0, abs=0.2)
    assert level_db(followed[:32000]) - level_db(followed[32000:]) == pytest.approx(20.0, abs=1.5)


def test_equal_levels_change_nothing() -> None:
    torch.testing.assert_close(follow_level(tone(0.3), tone(0.3), RATE_HZ), tone(0.3))


def test_what_varies_within_a_window_stays() -> None:
    """A tone that beats ten times a second keeps its beats under a source without any."""
    beats = tone(0.3) * (1 + 0.5 * tone(1.0, hz=10.0))
    followed = follow_level(beats, tone(0.3), RATE_HZ)[8000:24000]
    ratio = (
        followed.view(-1, 160).square().mean(dim=1).sqrt() / beats[8000:24000].view(-1, 160).square().mean(dim=1).sqrt()
    )
    assert float(ratio.max() / ratio.min()) < 1.1


def test_nothing_leaves_full_scale() -> None:
    clicks = torch.zeros(32000)
    clicks[::800] = 0.9
    followed = follow_level(clicks, tone(0.9), RATE_HZ)
    assert float(followed.abs().max()) <= 0.9801
    loud = follow_level(tone(1.5), tone(0.9), RATE_HZ)  # it was over full scale before
    assert float(loud.abs().max()) <= 1.5


def test_silence() -> None:
    assert float(follow_level(tone(0.3), torch.zeros(32000), RATE_HZ).abs().max()) < 0.01
    assert not follow_level(torch.zeros(32000), tone(0.3), RATE_HZ).any()
    assert bool(follow_level(torch.zeros(32000), torch.zeros(32000), RATE_HZ).isfinite().all())


@pytest.mark.parametrize("count", [1, 159, 160, 161, 5000])
def test_any_length(count: int) -> None:
    assert follow_level(torch.rand(count), torch.rand(count), RATE_HZ).shape == (count,)


def test_a_part_has_the_level_of_the_whole_but_at_its_ends() -> None:
    torch.manual_seed(0)
    samples, source = torch.randn(64000) * 0.1, torch.randn(64000) * torch.linspace(0.01, 0.3, 64000)
    whole = follow_level(samples, source, RATE_HZ)
    part = follow_level(samples[16000:48000], source[16000:48000], RATE_HZ)
    torch.testing.assert_close(part[4000:-4000], whole[20000:44000])
