"""Streaming: what comes out is as long as what went in, and depends on no more of it than the latency says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, ContractError, VoiceError

SHORT = {"block_seconds": 0.4, "history_seconds": 0.8, "lookahead_seconds": 0.2}


@pytest.fixture(scope="module")
def converter(made_run: Path) -> vczoo.Converter:
    return vczoo.load(made_run)


@pytest.fixture(scope="module")
def source(voices_folder: Path) -> Tensor:
    files = sorted((voices_folder / "alice").iterdir())
    return torch.cat([Waveform.read(file).samples[0] for file in files])[:50001]


def whole(converter: vczoo.Converter, samples: Tensor, size: int = 1600, **options: float) -> Tensor:
    blocks = torch.split(samples, size) if len(samples) else ()
    return torch.cat([torch.zeros(0), *converter.stream(blocks, "bob", **{**SHORT, **options})])  # type: ignore[arg-type]


@pytest.mark.parametrize("semitones", [None, 4.0])
def test_it_does_not_matter_how_the_stream_is_split(
    converter: vczoo.Converter, source: Tensor, semitones: float | None
) -> None:
    made = whole(converter, source, semitones=semitones)
    assert made.shape == source.shape
    assert made.isfinite().all()
    assert float(made.abs().max()) > 0.01
    for size in (53, 7777, len(source)):  # less than a hop, more than a block, all of it
        assert torch.equal(whole(converter, source, size, semitones=semitones), made)


def test_what_goes_out_depends_on_nothing_after_the_latency(converter: vczoo.Converter, source: Tensor) -> None:
    stream = converter.stream([], "bob", **SHORT)  # type: ignore[arg-type]
    assert stream.latency_seconds == pytest.approx(0.6)
    latency = round(stream.latency_seconds * 16000)
    made = whole(converter, source)
    for changed in (12000, 25601, 40000):
        other = source.clone()
        other[changed:] = torch.rand(len(source) - changed) - 0.5
        again = whole(converter, other)
        assert torch.equal(again[: changed - latency], made[: changed - latency])
        assert not torch.equal(again[changed:], made[changed:])


def test_a_block_goes_out_as_soon_as_its_lookahead_has_come_in(converter: vczoo.Converter, source: Tensor) -> None:
    given = 0

    def speak() -> Iterator[Tensor]:
        nonlocal given
        for block in torch.split(source, 160):
            given += len(block)
            yield block

    done = 0
    stream = converter.stream(speak(), "bob", **SHORT)  # type: ignore[arg-type]
    for block in stream:
        done += len(block)
        if given < len(source):
            assert given - done == round((stream.latency_seconds - 0.4) * 16000)  # the lookahead
    assert done == len(source)


@pytest.mark.parametrize("count", [0, 1, 100, 161, 6399, 9600])
def test_a_stream_may_end_early(converter: vczoo.Converter, source: Tensor, count: int) -> None:
    made = whole(converter, source[:count], 64)
    assert made.shape == (count,)
    assert made.isfinite().all()


@pytest.mark.parametrize("head", ["mel-decoder", "{use: knn}", "{use: linear, width: 8, blocks: 1}"])
def test_silence_stays_finite_and_is_survived(
    converter: vczoo.Converter, source: Tensor, voices_folder: Path, small: tuple[str, ...], head: str
) -> None:
    if head != "mel-decoder":
        plain = [setting for setting in small if not setting.startswith("heads.voice")]
        converter = vczoo.load("demo", [*plain, f"heads.voice={head}"])
        converter.enroll("bob", sorted((voices_folder / "bob").iterdir()))
    silence = torch.zeros(20000)
    made = whole(converter, torch.cat([silence, source[:20000], silence]))
    assert made.shape == (60000,)
    assert made.isfinite().all()
    assert whole(converter, silence).isfinite().all()


def test_a_stream_that_reaches_back_over_all_is_near_the_whole(converter: vczoo.Converter, source: Tensor) -> None:
    made = whole(converter, source, block_seconds=4, lookahead_seconds=0.2)
    alone = converter.convert(Waveform.of(source, 16000), "bob").samples[0]
    # The mean pitch is summed in another order, and a frame at the end of a block may be voiced in one of them only.
    difference = (made - alone).square().mean().sqrt()
    assert float(difference) < 0.1 * float(alone.square().mean().sqrt())


def test_what_becomes_softer_comes_out_softer(converter: vczoo.Converter, source: Tensor) -> None:
    """Converted as a whole and as a stream: half of the sentence is 20 dB softer."""
    softer = source.clone()
    softer[25000:] *= 0.1
    for convert in (
        lambda samples: converter.convert(Waveform.of(samples, 16000), "bob").samples[0],
        lambda samples: whole(converter, samples),
    ):
        plain, changed = convert(source), convert(softer)
        fall_db = [
            10 * float((made[:25000].square().sum() / made[25000:].square().sum()).log10()) for made in (plain, changed)
        ]
        assert abs(fall_db[1] - fall_db[0] - 20) < 3


def test_other_rates_and_kinds_of_blocks(converter: vczoo.Converter, source: Tensor) -> None:
    wave = Waveform.of(source, 16000).resample(48000)
    blocks = [part.double().numpy() for part in torch.split(wave.samples[0], 1024)]
    stream = converter.stream(blocks, "bob", sample_rate_hz=48000, **SHORT)
    assert stream.sample_rate_hz == 16000
    assert 0.6 < stream.latency_seconds < 0.645  # soxr takes up to 40 ms
    made = torch.cat(list(stream))
    assert made.shape == source.shape
    assert made.dtype == torch.float32


def test_integers_are_scaled_by_their_type(converter: vczoo.Converter, source: Tensor) -> None:
    integers = (source[:16000] * 32767).round().to(torch.int16)
    scaled = whole(converter, integers.float() / 32768)
    assert torch.equal(torch.cat(list(converter.stream(torch.split(integers, 1000), "bob", **SHORT))), scaled)


def test_a_buffer_that_is_filled_again_is_no_trouble(converter: vczoo.Converter, source: Tensor) -> None:
    def sound_card() -> Iterator[np.ndarray]:
        buffer = np.zeros(1600, dtype=np.float32)
        for block in torch.split(source[:48000], 1600):
            buffer[:] = block.numpy()
            yield buffer

    made = torch.cat(list(converter.stream(sound_card(), "bob", **SHORT)))  # type: ignore[arg-type]
    assert torch.equal(made, whole(converter, source[:48000]))


def test_the_shortest_lengths_and_a_rate_as_a_float(converter: vczoo.Converter, source: Tensor) -> None:
    lengths = {"block_seconds": 0.0, "history_seconds": 0.004, "lookahead_seconds": 0.018}
    made = whole(converter, source[:8000], sample_rate_hz=16000.0, **lengths)
    assert made.shape == (8000,)
    assert made.isfinite().all()


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (np.zeros((2, 100), dtype=np.float32), "block 2: expected one channel of samples (S,), got (2, 100)"),
        (np.zeros(100, dtype=np.int64), "block 2: samples must be floats in [-1, 1], or integers of 8, 16 or 32 bits"),
        (np.full(100, 2000, dtype=np.float32), "block 2: samples must lie in [-1, 1], but reach 2000"),
        (torch.tensor([0.0, float("nan")]), "block 2: 1 samples are NaN or infinite"),
    ],
)
def test_blocks_that_are_no_samples(converter: vczoo.Converter, block: Tensor, part: str) -> None:
    with pytest.raises(AudioError) as error:
        list(converter.stream([torch.zeros(10), block], "bob"))
    assert part in str(error.value)


def test_options_out_of_range(converter: vczoo.Converter) -> None:
    with pytest.raises(ContractError, match=r"block_seconds is a number of seconds, 0 or more, got -1"):
        converter.stream([], "bob", block_seconds=-1)
    for history in (-1, 0, 0.003):
        with pytest.raises(
            ContractError, match=rf"history_seconds is a number of seconds, 0\.004 or more, got {history}"
        ):
            converter.stream([], "bob", history_seconds=history)
    with pytest.raises(ContractError, match=r"lookahead_seconds is a number of seconds, 0\.018 or more, got 0\.01"):
        converter.stream([], "bob", lookahead_seconds=0.01)
    for rate_hz in (0, -16000, 16000.5, float("nan"), float("inf")):
        with pytest.raises(AudioError, match=f"a sample rate must be a positive whole number of Hz, got {rate_hz}"):
            converter.stream([], "bob", sample_rate_hz=rate_hz)  # type: ignore[arg-type]
    for semitones in (float("nan"), float("inf")):
        with pytest.raises(ContractError, match=f"semitones must be a finite number .* got {semitones}"):
            converter.stream([], "bob", semitones=semitones)
    with pytest.raises(VoiceError, match="did you mean 'bob'"):
        converter.stream([], "bo")
