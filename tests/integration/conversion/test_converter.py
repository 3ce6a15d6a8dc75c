"""What a user holds: names that are clear, voices that are kept, errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.errors import VoiceError


@pytest.fixture(scope="module")
def converter(trained_folder: Path) -> vczoo.Converter:
    return vczoo.load(trained_folder)


def test_conversion_keeps_the_length_and_moves_towards_the_voice(
    converter: vczoo.Converter, voices_folder: Path
) -> None:
    source = Waveform.read(voices_folder / "alice" / "1.wav")
    made = converter.convert(source, "bob")
    assert made.samples.shape == source.samples.shape
    assert made.sample_rate_hz == 16000
    assert float(made.samples.abs().max()) > 0.01
    assert converter.identify(made)["bob"] > converter.identify(source)["bob"] + 0.3
    assert torch.equal(converter.convert(source, "bob").samples, made.samples)


def test_a_mix_speaks_between_the_voices(converter: vczoo.Converter, voices_folder: Path) -> None:
    source = Waveform.read(voices_folder / "carol" / "1.wav")
    made = {share: converter.convert(source, {"alice": share, "bob": 1 - share}) for share in (0.1, 0.5, 0.9)}
    assert all(wave.samples.shape == source.samples.shape for wave in made.values())
    like_alice = [converter.identify(wave)["alice"] - converter.identify(wave)["bob"] for wave in made.values()]
    assert like_alice == sorted(like_alice)
    assert like_alice[2] > like_alice[0] + 0.1
    assert torch.equal(converter.convert(source, "alice:0.5,bob:0.5").samples, made[0.5].samples)


def test_a_recipe_that_only_recognises_does_not_convert(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    overrides = [*(s for s in small if "voice" not in s and "vocoder" not in s), "heads.voice=null", "vocoder=null"]
    converter = vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, progress=False)
    assert next(iter(converter.identify(voices_folder / "alice" / "0.wav"))) == "alice"
    with pytest.raises(VoiceError, match="only recognizes"):
        converter.convert(voices_folder / "alice" / "0.wav", "bob")
