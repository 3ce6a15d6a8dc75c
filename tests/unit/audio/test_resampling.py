from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from vczoo.audio.reader import SoundReader
from vczoo.audio.resampling import BlockResampler, resampler
from vczoo.audio.waveform import Waveform
from vczoo.conversion.chunked import Blocks
from vczoo.errors import AudioError


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


@pytest.mark.parametrize(("old", "new"), [(48000, 16000), (44100, 16000), (22050, 24000), (8000, 16000)])
def test_the_filter_that_is_kept_is_torchaudios(old: int, new: int) -> None:
    from torchaudio.functional import resample

    samples = torch.rand(2, 5000, generator=torch.Generator().manual_seed(1)) - 0.5
    for _ in range(2):
        assert torch.equal(resampler(old, new, samples.device)(samples), resample(samples, old, new))
    assert resampler(old, new, samples.device) is resampler(old, new, samples.device)


def test_a_filter_that_was_made_in_inference_can_be_trained_through() -> None:
    resampler.cache_clear()
    with torch.inference_mode():
        Waveform.of(torch.ones(100), 16000).resample(8000)
    samples = torch.ones(100, requires_grad=True)
    Waveform.of(samples, 16000).resample(8000).samples.sum().backward()  # type: ignore[no-untyped-call]
    assert samples.grad is not None


def test_rates_that_meet_too_rarely_are_refused_with_what_to_do(tmp_path: Path) -> None:
    told = r"22257 Hz cannot be resampled to 16000 Hz.* common factor is 1, .* 1426 MB.*ffmpeg -i RECORDING -ar 44100"
    samples = torch.rand(22257) - 0.5
    with pytest.raises(AudioError, match=f"^{told}"):
        Waveform.of(samples, 22257).resample(16000)
    with pytest.raises(AudioError, match=f"^{told}"):
        BlockResampler(22257, 16000)
    soundfile.write(tmp_path / "a.wav", samples.numpy(), 22257)
    with pytest.raises(AudioError, match=rf"a\.wav: {told}"):
        Waveform.read(tmp_path / "a.wav", 16000)
    with pytest.raises(AudioError, match=rf"a\.wav: {told}"):
        list(Blocks(SoundReader(tmp_path / "a.wav"), 16000))
    assert Waveform.of(samples, 22256).resample(16000).samples.shape == (1, 16001)  # 1391 to 1000


@pytest.mark.parametrize("rate_hz", [0, -1, 16000.5, float("inf"), float("nan")])
def test_rates_that_are_none(rate_hz: float) -> None:
    with pytest.raises(AudioError, match="positive whole number of Hz, got"):
        BlockResampler(rate_hz, 16000)  # type: ignore[arg-type]
