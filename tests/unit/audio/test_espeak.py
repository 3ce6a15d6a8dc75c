from __future__ import annotations

import ast
import itertools
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import pyworld
import soundfile
import torch

import vczoo
from vczoo.audio import espeak as synthesis
from vczoo.audio.espeak import SENTENCES, SYNTHETIC_VOICES, SyntheticVoice, speak, write_corpus
from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import UnknownNameError, VczooError
from vczoo.io.install_advice import pip_install

needs_espeak = pytest.mark.usefixtures("espeak")


@pytest.fixture
def espeak() -> None:
    pytest.importorskip("espeakng_loader")


def test_without_the_extra_it_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    synthesis._engine.cache_clear()
    with pytest.raises(
        VczooError, match=rf"espeak-ng, which is not installed; run: {re.escape(pip_install(extra='demo'))}"
    ):
        speak("Hello.", SYNTHETIC_VOICES["ada"])
    synthesis._engine.cache_clear()


def test_the_library_is_imported_inside_functions_alone() -> None:
    tree = ast.parse(Path(synthesis.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import) and "espeak" in node.names[0].name]
    assert len(imports) == 1
    assert not set(imports) & set(tree.body)


def test_nothing_else_of_the_core_names_the_library() -> None:
    folder = Path(vczoo.__file__).parent
    naming = {path.name for path in folder.rglob("*.py") if "espeakng_loader" in path.read_text(encoding="utf-8")}
    assert naming == {"espeak.py", "doctor.py"}  # doctor only looks whether it is installed


@pytest.mark.parametrize("field", [{"pitch": 100}, {"words_per_minute": 20}, {"pitch_range": -1}])
def test_values_out_of_range_are_refused(field) -> None:
    with pytest.raises(VczooError, match=f"{next(iter(field))} of a synthetic voice must be"):
        SyntheticVoice("en-us", **field)


def test_sentences_differ_and_cover_the_alphabet() -> None:
    assert len(SENTENCES) >= 30
    assert len(set(SENTENCES)) == len(SENTENCES)
    assert set("abcdefghijklmnopqrstuvwxyz") <= set(" ".join(SENTENCES).lower())


@needs_espeak
def test_every_sentence_lasts_two_to_four_seconds() -> None:
    for name, voice in SYNTHETIC_VOICES.items():
        seconds = [speak(sentence, voice).seconds for sentence in SENTENCES]
        assert min(seconds) > 2, name
        assert max(seconds) < 4, name


@needs_espeak
def test_speech_is_loud_and_does_not_clip() -> None:
    for name, voice in SYNTHETIC_VOICES.items():
        wave = speak(SENTENCES[0], voice)
        assert wave.sample_rate_hz == 22050
        assert wave.samples.shape[0] == 1
        assert 0.2 < float(wave.samples.abs().max()) < 0.95, name


@needs_espeak
def test_voices_are_distinct() -> None:
    assert len(SYNTHETIC_VOICES) >= 6
    mel = LogMel(MelSpec())
    pitches, spectra = {}, {}
    for name, voice in SYNTHETIC_VOICES.items():
        waves = [speak(sentence, voice) for sentence in SENTENCES[:3]]
        pitch_hz, _ = pyworld.dio(torch.cat([w.samples[0] for w in waves]).double().numpy(), 22050)
        pitches[name] = float(np.median(pitch_hz[pitch_hz > 0]))
        frames = torch.cat([mel(wave.resample(16000)).values[0] for wave in waves])
        loud = frames[frames.mean(dim=1) > frames.mean(dim=1).max() - 4].mean(dim=0)
        spectra[name] = loud - loud.mean()
    assert min(pitches.values()) < 110, "no low voice"
    assert max(pitches.values()) > 220, "no high voice"
    for first, second in itertools.combinations(SYNTHETIC_VOICES, 2):
        octaves = abs(np.log2(pitches[first] / pitches[second]))
        nepers = float((spectra[first] - spectra[second]).abs().mean())
        assert octaves > 0.1, (first, second, octaves)
        assert nepers > 0.35, (first, second, nepers)


@needs_espeak
def test_the_same_text_lasts_the_same_whatever_was_said_between() -> None:
    ada, bruno = SYNTHETIC_VOICES["ada"], SYNTHETIC_VOICES["bruno"]
    first = speak(SENTENCES[0], ada)
    other = speak(SENTENCES[0], bruno)
    again = speak(SENTENCES[0], ada)
    assert again.seconds == pytest.approx(first.seconds, abs=0.03)
    assert other.seconds != pytest.approx(first.seconds, abs=0.06)


@needs_espeak
def test_threads_do_not_mix_their_speech() -> None:
    tasks = [(sentence, voice) for sentence in SENTENCES[:4] for voice in SYNTHETIC_VOICES.values()]
    alone = [speak(*task).seconds for task in tasks]
    with ThreadPoolExecutor(4) as pool:
        together = [wave.seconds for wave in pool.map(lambda task: speak(*task), tasks)]
    assert together == pytest.approx(alone, abs=0.03)


@needs_espeak
@pytest.mark.parametrize("language", ["en-us+nobody", "xx-nowhere"])
def test_a_voice_that_espeak_has_not_is_refused(language) -> None:
    with pytest.raises(VczooError, match=f"no voice '{language.replace('+', '[+]')}'"):
        speak("Hello.", SyntheticVoice(language))


@needs_espeak
@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_to_say_is_refused(text) -> None:
    with pytest.raises(VczooError, match="produced no sound for"):
        speak(text, SYNTHETIC_VOICES["ada"])


@needs_espeak
def test_write_corpus_makes_what_read_corpus_reads(tmp_path) -> None:
    folder = write_corpus(tmp_path / "voices", ["ada", "bruno"], SENTENCES[:3])
    assert folder == tmp_path / "voices"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.wav"))
    assert files == [f"{voice}/{number:02d}.wav" for voice in ("ada", "bruno") for number in (1, 2, 3)]
    corpus = read_corpus(folder)
    assert corpus.speakers == ("ada", "bruno")
    assert corpus.skipped == ()


@needs_espeak
def test_write_corpus_is_at_16_khz(tmp_path) -> None:
    folder = write_corpus(tmp_path / "voices", ["ada"], SENTENCES[:1])
    assert soundfile.info(folder / "ada" / "01.wav").samplerate == 16000


def test_write_corpus_refuses_unknown_voices_and_used_folders(tmp_path) -> None:
    with pytest.raises(UnknownNameError, match=r"no synthetic voice 'brun', there are ada, .*did you mean 'bruno'"):
        write_corpus(tmp_path / "voices", ["ada", "brun"], SENTENCES[:1])
    assert not (tmp_path / "voices").exists()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(VczooError, match="already contains files; choose another folder"):
        write_corpus(tmp_path, ["ada"], SENTENCES[:1])
