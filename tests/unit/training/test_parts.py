"""A part of a recording (start, end) is the utterance wherever recordings are read: training, validation, sweeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError
from vczoo.evaluation.measures import Measures
from vczoo.evaluation.references import read_references
from vczoo.evaluation.trials import read_trials
from vczoo.models.model import Model
from vczoo.training.conversion_validation import ConversionValidator
from vczoo.training.features.augment import PLAIN
from vczoo.training.features.cache import Cache
from vczoo.training.features.features import Features
from vczoo.training.speakers import voice_of
from vczoo.training.sweeps.scoring import REFERENCES, TRIALS, write_trials
from vczoo.training.vocoder.segments import VocoderSegments


class Loudness:
    """A measuring model that remembers the durations of what it is given."""

    name = "loudness"

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def embed(self, waves: list[Waveform]) -> np.ndarray:
        self.seconds += [wave.seconds for wave in waves]
        return np.ones((len(waves), 2)) / np.sqrt(2)


@pytest.fixture(scope="module")
def corpus(voices_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Twelve parts of 0.25 s of each speaker, two of each recording."""
    rows = [
        f"{path},{path.parent.name},{start},{start + 0.25}"
        for path in sorted(voices_folder.rglob("*.wav"))
        for start in (0.0, 0.3)
    ]
    file = tmp_path_factory.mktemp("parts") / "m.csv"
    file.write_text("\n".join(["path,speaker,start,end", *rows]))
    return read_corpus(file)


@pytest.fixture
def model(made_run: Path) -> Model:
    return vczoo.load(made_run).model


def test_features_are_of_the_part_and_cached_by_its_place(corpus: Corpus, model: Model, tmp_path: Path) -> None:
    first, second = corpus.utterances[:2]
    assert first.path == second.path
    features = Features(model, {}, Cache(tmp_path / "cache"))
    features.at(1)
    whole = Waveform.read(first.path, 16000).samples
    assert features.wave(first).samples.equal(whole[:, :4000])
    assert features.wave(second).samples.equal(whole[:, 4800:8800])
    list(features.fill([(first, PLAIN)]))
    assert features.missing([first], [PLAIN]) == []
    assert features.missing([second, replace(first, channel="left")], [PLAIN]) != []
    voice = voice_of(features, corpus, "alice")
    waves = [features.wave(u) for u in corpus.split("train") if u.speaker == "alice"]
    for name, tensor in model.enroll(waves).items():
        assert torch.allclose(voice.tensors[name].cpu(), tensor.cpu(), atol=1e-4, equal_nan=True), name


def test_a_vocoder_trains_on_the_parts(corpus: Corpus) -> None:
    segments = VocoderSegments(corpus.split("train"), 16000, 1000)
    assert {len(samples) for samples in segments.recordings} == {4000}


def test_validation_by_conversion_is_of_the_parts(corpus: Corpus, model: Model) -> None:
    measures = Measures(Loudness())
    validator = ConversionValidator(model, corpus, ("alice", "bob", "carol"), measures, "similarity", seed=0)
    assert {wave.seconds for wave in validator.sources.values()} == {0.25}
    assert set(measures.speaker.seconds) == {0.25}
    assert set(validator()) == {"similarity"}


def test_a_sweep_measures_the_parts(corpus: Corpus, tmp_path: Path) -> None:
    assert write_trials(corpus, tmp_path) > 0
    references = read_references(tmp_path / REFERENCES)
    trials = read_trials(tmp_path / TRIALS, references=references)
    files = [trial.source for trial in trials] + [file for files in references.matching.values() for file in files]
    assert {Waveform.read(file).seconds for file in files} == {0.25}
    before = {file: file.stat().st_mtime_ns for file in files}
    write_trials(corpus, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in files} == before


def test_references_are_the_parts_and_know_their_files(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text(corpus.to_jsonl())
    with pytest.raises(CorpusError, match="a part of a recording; give a folder to write the parts to"):
        read_references(tmp_path / "manifest.jsonl")
    references = read_references(tmp_path / "manifest.jsonl", parts=tmp_path / "parts")
    assert {name: len(files) for name, files in references.held_out.items()} == dict.fromkeys(corpus.speakers, 1)
    assert {name: len(files) for name, files in references.matching.items()} == dict.fromkeys(corpus.speakers, 11)
    assert {Waveform.read(file).seconds for file in references.matching["bob"]} == {0.25}
    trained = next(u.path for u in corpus.split("train") if u.speaker == "alice")
    (tmp_path / "trials.csv").write_text(f"source,source_speaker,voice\n{trained},alice,bob\n")
    with pytest.raises(CorpusError, match="is in the matching or training set of 'alice'"):
        read_trials(tmp_path / "trials.csv", references=references)
