"""Long recordings: what is made of pieces is what is made of the whole, and memory holds one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import vczoo
from tests.unit.conversion.test_chunked import SHORT
from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.conversion import chunked as piecewise


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 3 s where users get 30 s."""
    for name, seconds in SHORT.items():
        monkeypatch.setattr(piecewise, f"{name}_SECONDS", seconds)
    monkeypatch.setattr("vczoo.conversion.converted_blocks.WHOLE_SECONDS", 3.0)


@pytest.fixture(scope="module")
def source(voices_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven seconds of two speakers with short pauses."""
    parts = []
    for file in [*sorted((voices_folder / "alice").iterdir()), *sorted((voices_folder / "carol").iterdir())]:
        parts += [soundfile.read(file)[0], 0.001 * np.random.default_rng(0).standard_normal(1600)]
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, np.concatenate(parts), 16000)
    assert soundfile.info(path).duration > 10
    return path


@pytest.fixture(scope="module")
def converter(trained_folder: Path) -> vczoo.Converter:
    return vczoo.load(trained_folder)


@pytest.fixture(scope="module")
def local(voices_folder: Path) -> vczoo.Converter:
    """A converter whose head keeps no statistics of a recording."""
    settings = ["backbone.width=16", "backbone.blocks=1", "heads.speaker=null", "vocoder.iterations=8"]
    made = vczoo.load("demo", [*settings, "heads.voice={use: knn, centre: false}"])
    made.enroll("bob", sorted((voices_folder / "bob").iterdir()))
    return made


@pytest.mark.parametrize("name", ["local", "converter"])
def test_a_long_recording_is_the_whole_within_a_tolerance(
    name: str, source: Path, request: pytest.FixtureRequest
) -> None:
    converter: vczoo.Converter = request.getfixturevalue(name)
    model, wave = converter.model, Waveform.read(source)
    long = converter.convert(source, "bob")
    whole = model.convert(wave, converter.run.voices["bob"].tensors)
    assert long.samples.shape == wave.samples.shape
    assert not torch.equal(long.samples, whole.samples)  # it was cut
    mel = LogMel(MelSpec())
    heard = mel(whole).values > -7
    nepers = (mel(long).values - mel(whole).values)[heard].abs().mean()
    assert float(nepers) * 8.69 < 1.5  # dB; .6 and 1.0 as measured with pieces of 3 s, Griffin-Lim's phases included
