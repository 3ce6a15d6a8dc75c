from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vczoo.audio.frames import Frames
from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.vocoders import griffin_lim
from vczoo.modules.vocoders.griffin_lim import GriffinLim, spsi_phases


def harmonics(seconds: float = 0.5, f0_hz: float = 160.0, rate_hz: int = 16000) -> Waveform:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = sum(np.sin(2 * np.pi * f0_hz * n * time + n * n) / n for n in range(1, 20))
    return Waveform.of(torch.from_numpy(0.2 * samples).float(), rate_hz)


def mel_of(wave: Waveform, spec: MelSpec) -> Frames:
    frames: Frames = LogMel(spec)(wave)
    return frames


def decibels(made: torch.Tensor, wanted: torch.Tensor) -> float:
    """Mean distance of log magnitudes over frames away from the ends and bands within 30 dB of the loudest."""
    made, wanted = made[:, 6:-6], wanted[:, 6:-6]
    heard = wanted > wanted.max() - 1.5 * math.log(10)
    return float((made - wanted)[heard].abs().mean()) * 20 / math.log(10)


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_the_mel_of_what_it_makes_is_the_mel_that_it_read(momentum) -> None:
    vocoder = GriffinLim(momentum=momentum)
    given = mel_of(harmonics(), vocoder.accepts)
    made = vocoder(given)
    assert decibels(mel_of(made, vocoder.accepts).values, given.values) < 1.5
    silence = Waveform.of(torch.zeros(8000), 16000)
    assert decibels(mel_of(silence, vocoder.accepts).values, given.values) > 20  # what the measure says of a failure


def test_more_iterations_and_momentum_come_closer() -> None:
    given = mel_of(harmonics(), MelSpec())
    far = {
        (iterations, momentum): decibels(
            mel_of(GriffinLim(iterations=iterations, momentum=momentum)(given), MelSpec()).values, given.values
        )
        for iterations, momentum in ((1, 0.0), (60, 0.0), (60, 0.99))
    }
    assert far[60, 0.0] < far[1, 0.0]
    assert far[60, 0.99] < far[1, 0.0]


def test_it_is_deterministic_and_asks_nothing_of_the_random_state() -> None:
    vocoder, given = GriffinLim(iterations=8), mel_of(harmonics(0.2), MelSpec())
    torch.manual_seed(1)
    first, state = vocoder(given).samples, torch.random.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(vocoder(given).samples, first)


@pytest.mark.parametrize("momentum", [0.0, 0.99])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_a_few_frames_are_enough(count, momentum) -> None:
    made = GriffinLim(iterations=4, momentum=momentum)(Frames.of(torch.randn(count, 80) - 4))
    assert made.samples.shape == (1, (count - 1) * 160)
    assert made.samples.isfinite().all()


def test_a_batch_gives_what_its_items_give() -> None:
    vocoder = GriffinLim(iterations=8)
    items = [mel_of(harmonics(seconds, f0_hz), MelSpec()) for seconds, f0_hz in ((0.2, 120.0), (0.11, 200.0))]
    together = vocoder(Frames.batch(items))
    assert together.lengths.tolist() == [3200, 1760]
    for index, item in enumerate(items):
        assert torch.equal(together[index].samples, vocoder(item).samples)
    assert not together.samples[1, 1760:].any()


def test_other_specs() -> None:
    vocoder = GriffinLim(num_mels=40, fft_length=512, hop_length=256, sample_rate_hz=22050, iterations=8)
    assert vocoder.accepts == MelSpec(22050, 40, 512, 256, 0.0, 11025.0)
    made = vocoder(mel_of(harmonics(0.3, rate_hz=22050), vocoder.accepts))
    assert (made.sample_rate_hz, made.samples.shape[1]) == (22050, 6615 // 256 * 256)
    assert made.samples.abs().max() > 0.01


def test_it_has_nothing_to_train_or_to_save() -> None:
    assert list(GriffinLim().parameters()) == []
    assert GriffinLim().state_dict() == {}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"iterations": 0}, "got iterations=0"),
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"momentum": -0.1}, "momentum in [0, 1)"),
        ({"momentum": math.nan}, "momentum=nan"),
        ({"hop_length": 513}, "hop_length must be at most half of fft_length 1024"),
        ({"hop_length": 0}, "hop_length must be a positive whole number"),
        ({"num_mels": 0}, "num_mels must be a positive whole number"),
    ],
)
def test_options_out_of_range(options, part) -> None:
    with pytest.raises(ContractError) as error:
        GriffinLim(**options)
    assert part in str(error.value)


def test_phases_start_where_a_sinusoid_would_put_them() -> None:
    hz, fft, hop = 1000 * 1.0077, 1024, 160
    sine = torch.sin(2 * math.pi * hz * torch.arange(16000) / 16000)
    magnitudes = torch.stft(sine, fft, hop, window=torch.hann_window(fft), return_complex=True).abs().T[5:-5]
    phases = spsi_phases(magnitudes, fft, hop)
    peak = int(magnitudes[0].argmax())
    advance = (phases[1:, peak - 2 : peak + 3] - phases[:-1, peak - 2 : peak + 3]) / (2 * math.pi)
    wanted = hz * hop / 16000
    off = (advance - wanted + 0.5) % 1 - 0.5
    assert float(off.abs().max()) < 0.02  # turns a hop; bins are .16 apart
    assert spsi_phases(torch.zeros(3, 513), fft, hop).isfinite().all()


def test_it_starts_nearer_than_from_other_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    given = mel_of(harmonics(), MelSpec())
    vocoder = GriffinLim(iterations=2)
    near = decibels(mel_of(vocoder(given), MelSpec()).values, given.values)
    monkeypatch.setattr(griffin_lim, "spsi_phases", lambda magnitudes, *_: torch.zeros_like(magnitudes))
    assert decibels(mel_of(vocoder(given), MelSpec()).values, given.values) > near


def test_chunks_are_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    given = mel_of(harmonics(3.0), MelSpec())
    assert given.values.shape[1] > 2 * griffin_lim.CACHED_FRAMES
    made = GriffinLim()(given).samples
    monkeypatch.setattr(griffin_lim, "CACHED_FRAMES", 10**6)
    torch.testing.assert_close(GriffinLim()(given).samples, made, rtol=0, atol=5e-3)  # an FFT of fewer rows rounds else


def test_it_goes_on_from_what_is_there() -> None:
    vocoder = GriffinLim()
    given = mel_of(harmonics(1.5), MelSpec())
    there = vocoder(Frames.of(given.values[0, :110])).samples[:, 50 * 160 :]
    rest = Frames.of(given.values[0, 50:])
    seam = slice(40 * 160, 45 * 160)

    def agreement(made: torch.Tensor) -> float:
        return float(torch.nn.functional.cosine_similarity(made[0, seam], there[0, seam], dim=0))

    following = vocoder.follow(rest, Waveform.of(there, 16000))
    assert following.samples.shape == (1, 100 * 160)
    assert agreement(following.samples) > 0.9
    assert agreement(vocoder(rest).samples) < 0.7
    for count in (0, 3, 511, 513):  # less than a frame, too
        assert vocoder.follow(rest, Waveform.of(there[:, :count], 16000)).samples.isfinite().all()
