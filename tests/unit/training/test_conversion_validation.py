"""Held-out utterances in other voices, measured after each epoch by models that are made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

import vczoo
from vczoo import Waveform
from vczoo.data.corpus import Corpus, Utterance
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import VczooError, WeightsError
from vczoo.evaluation.measures import Measures
from vczoo.evaluation.metrics.verification import centroid
from vczoo.models.model import Model
from vczoo.training.conversion_validation import (
    PAIRS,
    SOURCE_SECONDS,
    VOICE_SECONDS,
    ConversionValidator,
    choose_pairs,
    load_measuring_models,
)

pytest.importorskip("jiwer")


class Timbre:
    """A speaker model that looks at the mean spectrum."""

    name = family = "timbre"

    def embed(self, waves: Sequence[Waveform]) -> np.ndarray:
        rows = []
        for wave in waves:
            mean = vczoo.LogMel(vczoo.MelSpec())(wave.resample(16000)).values[0].mean(dim=0).double().numpy()
            rows.append(mean / np.linalg.norm(mean))
        return np.stack(rows)


class Scribe:
    """An ASR that writes down one text after another, and the last of them from then on."""

    name = family = "scribe"

    def __init__(self, *texts: str) -> None:
        self.texts, self.heard = list(texts), list[Waveform]()

    def transcribe(self, wave: Waveform) -> str:
        self.heard.append(wave)
        return self.texts[min(len(self.heard), len(self.texts)) - 1]


@pytest.fixture
def corpus(voices_folder: Path) -> Corpus:
    return read_corpus(voices_folder, validation=0.3)


@pytest.fixture
def model(made_run: Path) -> Model:
    return vczoo.load(made_run).model


def listed(**splits: Sequence[tuple[str, int]]) -> Corpus:
    """A corpus of files that need not be there: `listed(validation=[("alice", 3)])`."""
    return Corpus(
        tuple(
            Utterance(Path(f"/{name}/{split}-{number}.wav"), name, split, 1.0)  # type: ignore[arg-type]
            for split, counts in splits.items()
            for name, count in counts
            for number in range(count)
        )
    )


def test_sources_and_targets_take_turns() -> None:
    names = ["alice", "bob", "carol", "dora"]
    corpus = listed(train=[(name, 9) for name in names], validation=[(name, 5) for name in names])
    pairs = choose_pairs(corpus, names, 0)
    assert len(set(pairs)) == len(pairs) == PAIRS
    assert all(source.speaker != target and source.split == "validation" for source, target in pairs)
    sources, targets = (Counter(values) for values in zip(*((s.speaker, t) for s, t in pairs), strict=True))
    assert sources.keys() == targets.keys() == set(names)
    assert max(sources.values()) <= 3
    assert choose_pairs(corpus, names, 0) == pairs
    assert choose_pairs(corpus, names, 1) != pairs


def test_two_utterances_go_into_every_other_voice() -> None:
    corpus = listed(train=[("alice", 3), ("bob", 3), ("carol", 3)], validation=[("alice", 1), ("zoe", 1)])
    pairs = {(source.speaker, target) for source, target in choose_pairs(corpus, ["alice", "bob", "carol"], 0)}
    others = {("alice", name) for name in ("bob", "carol")}
    assert pairs == others | {("zoe", name) for name in ("alice", "bob", "carol")}


def test_one_speaker_is_the_target_of_strangers_or_else_of_himself() -> None:
    alone = listed(train=[("alice", 3)], validation=[("alice", 2)])
    assert {(pair.source.speaker, pair.target) for pair in choose_pairs(alone, ["alice"], 0)} == {("alice", "alice")}
    assert len(choose_pairs(alone, ["alice"], 0)) == 2
    visited = listed(train=[("alice", 3)], validation=[("alice", 2), ("zoe", 1)])
    assert {(pair.source.speaker, pair.target) for pair in choose_pairs(visited, ["alice"], 0)} == {("zoe", "alice")}


def test_conversions_are_compared_with_real_speech(model: Model, corpus: Corpus) -> None:
    speakers = ("alice", "bob", "carol")
    ear = Timbre()
    listen = ConversionValidator(model, corpus, speakers, Measures(ear), "similarity", seed=0)
    expected = []
    for source, target in listen.pairs:
        real = [Waveform.read(u.path) for u in corpus.split("train") if u.speaker == target]
        voice = model.enroll(real)  # six seconds, all of which is heard
        made = model.convert(Waveform.read(source.path), voice)
        expected.append(ear.embed([made])[0] @ centroid(ear.embed(real)))
    assert listen() == {"similarity": pytest.approx(float(np.mean(expected)), abs=1e-5)}
    assert len(expected) == len({(p.source.path, p.target) for p in listen.pairs})
    assert listen() == listen()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_backbone_hears_each_recording_once(model: Model, corpus: Corpus, frozen: bool) -> None:
    speakers = ("alice", "bob", "carol")
    listen = ConversionValidator(model, corpus, speakers, Measures(Timbre()), "similarity", seed=0, frozen=frozen)
    heard: list[Waveform] = []
    model.backbone.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    first, once = listen(), len(heard)
    assert listen() == pytest.approx(first)
    sources, references = len(listen.sources), sum(map(len, listen.voices.values()))
    assert once == (sources if frozen else len(listen.pairs)) + references
    assert len(heard) == (once if frozen else 2 * once)


def test_wrong_characters_are_counted_against_the_source(model: Model, corpus: Corpus) -> None:
    few = Corpus(tuple(u for u in corpus.utterances if u.split == "train" or u.speaker == "alice"))
    count = len(few.split("validation"))
    scribe = Scribe(*(["abcd"] * count), "abxd")
    listen = ConversionValidator(model, few, ("alice", "bob"), Measures(Timbre(), (scribe,)), "character-error", seed=0)
    assert len(scribe.heard) == count
    assert listen()["character_error"] == pytest.approx(1 / 4)
    assert listen()["character_error"] == pytest.approx(1 / 4)
    assert len(scribe.heard) == count + 2 * len(listen.pairs)  # the sources are heard once


def test_an_asr_that_hears_nothing_cannot_decide(model: Model, corpus: Corpus) -> None:
    speakers, mute = ("alice", "bob"), Measures(Timbre(), (Scribe("..."),))
    with pytest.raises(VczooError, match=r"scribe recognizes no words in the .* validation utterances"):
        ConversionValidator(model, corpus, speakers, mute, "character-error", seed=0)
    assert set(ConversionValidator(model, corpus, speakers, mute, "similarity", seed=0)()) == {"similarity"}


def test_long_recordings_are_cut(tmp_path: Path, model: Model) -> None:
    random = np.random.default_rng(0)
    for name in ("alice", "bob"):
        for number in range(4):
            path = tmp_path / name / f"{number}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.1 * random.standard_normal(16000 * 14), 16000)
    listen = ConversionValidator(
        model, read_corpus(tmp_path), ("alice", "bob"), Measures(Timbre()), "similarity", seed=0
    )
    assert [wave.seconds for wave in listen.sources.values()] == [SOURCE_SECONDS] * 2
    assert [sum(w.seconds for w in waves) for waves in listen.voices.values()] == [28.0] * 2  # both of 14 s
    assert max(sum(w.seconds for w in waves) for waves in listen.voices.values()) <= VOICE_SECONDS


def test_similarity_does_without_an_asr_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(asr: Sequence[str] = ("faster-whisper:tiny.en",), *, naturalness: bool) -> Measures:
        assert not naturalness
        if asr:
            raise WeightsError("no network")
        return Measures(Timbre())

    monkeypatch.setattr("vczoo.training.conversion_validation.load_measures", offline)
    assert load_measuring_models("loss") is load_measuring_models("accuracy") is None
    with pytest.raises(WeightsError, match="no network"):
        load_measuring_models("character-error")
    assert capsys.readouterr().err == ""
    ears = load_measuring_models("similarity")
    assert ears is not None
    assert ears.recognisers == ()
    assert capsys.readouterr().err.startswith("character errors are not counted, only similarity is measured: no net")


def test_a_recipe_is_not_judged_by_a_model_that_it_uses(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    class Ear(Timbre):
        name = family = "mel-conv"  # the demo's backbone

    told = [*small, "training.criterion=similarity"]
    with pytest.raises(VczooError, match="it would measure what was optimized"):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", told, progress=False, measures=Measures(Ear()))
    assert not (tmp_path / "run").exists()
