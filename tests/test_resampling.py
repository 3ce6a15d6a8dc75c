from __future__ import annotations

import pytest
import torch

from vczoo.resampling import BlockResampler
from vczoo.waveform import Waveform


@pytest.mark.parametrize(
    ("old", "new"), [(48000, 16000), (44100, 16000), (16000, 24000), (8000, 16000), (16000, 16000)]
)
@pytest.mark.parametrize("block", [13, 4096, 50000])
@pytest.mark.parametrize("count", [1, 700, 30011])
def test_blocks_give_what_the_whole_gives(old: int, new: int, block: int, count: int) -> None:
    samples = torch.rand(count, generator=torch.Generator().manual_seed(1)) - 0.5
    resampler = BlockResampler(old, new)
    made, given = [], 0
    for part in torch.split(samples, block):
        given += len(part)
        made.append(resampler.push(part))
        behind = given / old - sum(map(len, made)) / new
        assert behind <= resampler.delay_seconds + 1e-9
    made.append(resampler.finish())
    whole = Waveform.of(samples, old).resample(new).samples[0]
    torch.testing.assert_close(torch.cat(made), whole, rtol=0, atol=1e-6)


def test_nothing_gives_nothing() -> None:
    assert BlockResampler(44100, 16000).finish().shape == (0,)
    assert BlockResampler(16000, 16000).finish().shape == (0,)
