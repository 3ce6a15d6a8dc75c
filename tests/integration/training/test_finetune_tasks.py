"""Recipes that write and label, end to end on made speech: they learn, what they learnt stays, and the cache serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

import vczoo
from tests.conftest import SPEAKERS, synthetic_utterance
from tests.support.annotated import annotated, text_of
from vczoo.errors import CorpusError, HubError, RunError, VczooError, VoiceError
from vczoo.runs.run_folder import load_run
from vczoo.training.features import features as features_module

RECIPE = """
summary: Small convolutions that write vowels, tell high from low voices, and know their speakers
backbone: {use: mel-conv, weights: random, width: 32, blocks: 2}
freezing: {use: none}
heads:
  text: {use: ctc, alphabet: " aeiou", width: 32, blocks: 1}
  height: {use: classifier}
  speaker: {use: speaker-classifier, hidden: [16], weight: 0.3}
training:
  epochs: 12
  batch_size: 8
  crop_seconds: 2
  learning_rate: 0.005
  backbone_rate: 1
  criterion: word-error
  patience: 12
"""
FROZEN = ("freezing.use=full",)
SHORT = ("training.epochs=2",)


@pytest.fixture(scope="session")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and a manifest: two speakers say rows of vowels; a third is heard in the test alone."""
    folder = tmp_path_factory.mktemp("lesson")
    (folder / "vowels.yaml").write_text(RECIPE)
    rows = []
    for number in range(60):
        for speaker in ("alice", "bob"):
            split = "test" if number % 10 == 9 else "validation" if number % 10 == 8 else "train"
            rows.append(row_of(folder, number, speaker, split))
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def row_of(folder: Path, number: int, speaker: str, split: str) -> dict[str, str]:
    path = folder / speaker / f"{number}.wav"
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, synthetic_utterance(number, *SPEAKERS[speaker]), 16000, subtype="PCM_16")
    label = "low" if speaker == "bob" else "high"
    return {"path": str(path), "speaker": speaker, "split": split, "text": text_of(number), "label": label}


def teacher_frames(lesson: Path, out: Path, *overrides: str, **options: Any) -> vczoo.Converter:
    given = {"progress": False, "cache": False, **options}
    return vczoo.finetune(lesson / "vowels.yaml", lesson / "manifest.jsonl", out, overrides, **given)


@pytest.fixture(scope="session")
def taught_folder(lesson: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt. Read only."""
    folder = tmp_path_factory.mktemp("teacher_frames") / "run"
    teacher_frames(lesson, folder)
    return folder


def test_it_learns_to_write_and_to_label(taught_folder: Path, lesson: Path) -> None:
    converter = vczoo.load(taught_folder)
    test = converter.metrics["test"]
    assert test["text.wer"] < 0.25  # of rows of vowels that it never heard; all words wrong is 1
    assert test["text.cer"] < 0.2
    assert test["height.recall"] == test["height.accuracy"] == 1.0
    assert test["speaker.accuracy"] == 1.0
    right = heard = 0
    for number in (9, 19, 29, 39, 49, 59):
        path = lesson / "bob" / f"{number}.wav"
        words, said = converter.transcribe(path).split(), text_of(number).split()
        right += sum(one == other for one, other in zip(words, said, strict=False))
        heard += len(said)
        shares = converter.classify(path)
        assert next(iter(shares)) == "low"
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert right / heard > 0.7
    assert set(converter.identify(lesson / "bob" / "9.wav")) == {"alice", "bob"}


def test_what_it_learnt_stays(taught_folder: Path, lesson: Path, tmp_path: Path) -> None:
    first = vczoo.load(taught_folder)
    assert first.labels == ("high", "low")
    first.save(tmp_path / "again")
    second = vczoo.load(tmp_path / "again")
    for name in ("model.safetensors", "voices.safetensors", "metrics.json", "vczoo.yaml"):
        assert (tmp_path / "again" / name).read_bytes() == (taught_folder / name).read_bytes()
    path = lesson / "alice" / "9.wav"
    assert first.transcribe(path) == second.transcribe(path)
    assert first.classify(path) == second.classify(path)
    assert second.model.heads["text"].alphabet == " aeiou"
    assert "labels:\n- high\n- low\n" in (taught_folder / "vczoo.yaml").read_text()


def test_the_epoch_is_chosen_by_what_it_is_for(taught_folder: Path) -> None:
    history = [json.loads(line) for line in (taught_folder / "metrics.jsonl").read_text().splitlines()]
    errors = [(one["validation"]["text.wer"], one["validation"]["loss"]) for one in history]
    assert load_run(taught_folder).metrics["best_epoch"] == errors.index(min(errors))
    assert (taught_folder / "curves.png").stat().st_size > 0


def test_training_again_gives_the_same_and_so_does_the_cache(
    lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    hear: Callable[..., Any] = features_module.run_prefix
    monkeypatch.setattr(features_module, "run_prefix", lambda *given: ran.append(len(given[1])) or hear(*given))
    for number in range(2):
        teacher_frames(lesson, tmp_path / f"{number}", *FROZEN, *SHORT, cache=tmp_path / "cache")
    assert sum(ran) == 120  # every recording once, in all epochs of both: the second reads the cache alone
    teacher_frames(lesson, tmp_path / "bare", *FROZEN, *SHORT, cache=False)
    assert sum(ran) > 240
    kept = [load_run(tmp_path / name).model.tensors() for name in ("0", "1", "bare")]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])
    assert all(torch.allclose(kept[0][name], kept[2][name], atol=1e-5) for name in kept[0])


def test_frozen_stages_run_once_where_nothing_could_be_cut_after_them(
    lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole utterances need no cut: what a backbone of tokens gives is kept for them, too."""
    half = ("freezing.use=partial", *SHORT)
    teacher_frames(lesson, tmp_path / "cut", *half, cache=tmp_path / "cache")
    ran: list[int] = []
    hear: Callable[..., Any] = features_module.run_prefix
    monkeypatch.setattr(features_module, "find_time_axis", lambda *given: None)
    monkeypatch.setattr(features_module, "run_prefix", lambda *given: ran.append(len(given[1])) or hear(*given))
    teacher_frames(lesson, tmp_path / "uncut", *half, cache=tmp_path / "other")
    assert sum(ran) == 120
    kept = [load_run(tmp_path / name).model.tensors() for name in ("cut", "uncut")]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_whole_utterances_are_not_trained_on_in_parts_with_the_backbone(lesson: Path) -> None:
    from vczoo.models.build import build_freezing
    from vczoo.training.optimizer import trainable
    from vczoo.training.setup import check_shards

    for overrides, refused in (((), True), (FROZEN, False), (("heads.text=null", "training.criterion=loss"), False)):
        converter = vczoo.load(lesson / "vowels.yaml", overrides)
        model = converter.model
        owned = trainable(model, build_freezing(converter.recipe), 1)
        check_shards(owned, model, False)
        if refused:
            with pytest.raises(vczoo.ContractError, match="--shard is for a backbone that is wholly frozen"):
                check_shards(owned, model, True)
        else:
            check_shards(owned, model, True)


def test_batches_are_of_whole_utterances(lesson: Path, tmp_path: Path) -> None:
    """crop_seconds is what may be learnt from, not what is cut: a text is that of its whole recording."""
    from vczoo.data.corpus_reader import read_corpus
    from vczoo.training.setup import features_of, segments_by_split

    converter = vczoo.load(lesson / "vowels.yaml", FROZEN)
    model, recipe = converter.model, converter.recipe
    corpus = read_corpus(lesson / "manifest.jsonl")
    for head in model.label_heads.values():
        head.relabel(corpus.labels)
    features = features_of(recipe, model, False)
    clips = segments_by_split(
        features, corpus, ("alice", "bob"), recipe.training.model_copy(update={"crop_seconds": 0.3})
    )
    features.at(len(model.backbone.stages()))
    assert len(clips["train"]) == len(corpus.split("train")) == 96
    rate = model.backbone.spec.sample_rate_hz
    whole = {(u.text, model.backbone.num_frames(round(rate * u.seconds))) for u in corpus.split("train")}
    for batch in clips["train"].epoch(8, 0):
        assert batch.content is not None
        assert set(zip(batch.texts, batch.content.lengths.tolist(), strict=True)) <= whole
        assert batch.labels is not None
        assert batch.labels.tolist() == batch.speakers.tolist()  # alice is high, bob low


def test_more_is_learnt_with_the_labels_that_were_known(taught_folder: Path, lesson: Path, tmp_path: Path) -> None:
    rows = [row_of(tmp_path, number, "carol", "") | {"label": "middle"} for number in range(10)]
    (tmp_path / "carol.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = vczoo.finetune(taught_folder, tmp_path / "carol.jsonl", tmp_path / "run", SHORT, progress=False, cache=False)
    assert more.labels == ("high", "low", "middle")
    assert set(more.metrics["extension"]) == {"old", "new"}
    manifest = (tmp_path / "run" / "manifest.jsonl").read_text()
    assert '"label": "middle"' in manifest
    assert '"label": "low"' in manifest
    other = {"rehearse": False, "progress": False, "cache": False}
    rows = [
        row | {"label": "ab"[number % 2], "split": "validation" if number > 7 else "train"}
        for number, row in enumerate(rows)
    ]
    (tmp_path / "alone.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tuned = vczoo.finetune(taught_folder, tmp_path / "alone.jsonl", tmp_path / "tuned", SHORT, **other)
    assert tuned.labels == ("a", "b")


def test_a_long_recording_is_written_as_one(taught_folder: Path, lesson: Path) -> None:
    converter = vczoo.load(taught_folder)
    short = vczoo.Waveform.read(lesson / "bob" / "9.wav")
    pause = torch.zeros(1, 8000)
    one = torch.cat([short.samples, pause], dim=1)
    long = vczoo.Waveform.of(one.repeat(1, 30), 16000)
    assert long.seconds > 31
    vowels = [len("".join(converter.transcribe(wave).split())) for wave in (short, long)]
    assert vowels[1] == pytest.approx(30 * vowels[0], rel=0.15)
    assert next(iter(converter.classify(long))) == "low"
    with pytest.raises(vczoo.VczooError, match="expected one recording, got a batch of 2"):
        converter.transcribe(vczoo.Waveform.batch([short, short]))


def test_a_recipe_without_such_a_head_says_so(lesson: Path, run_folder: Path) -> None:
    path = lesson / "bob" / "9.wav"
    voices = vczoo.load(run_folder)
    with pytest.raises(VczooError, match=r"no head of this recipe transcribes speech: it has speaker \(speaker\)"):
        voices.transcribe(path)
    with pytest.raises(VczooError, match=r"classifies utterances: .* Load a run of one that has a label head"):
        voices.classify(path)
    fresh = vczoo.load(lesson / "vowels.yaml")
    for ask in (fresh.transcribe, fresh.classify):
        with pytest.raises(VczooError, match=r"has not been trained; train it with `vczoo train`"):
            ask(path)
    writer = vczoo.load(lesson / "vowels.yaml", ["heads.speaker=null"])
    with pytest.raises(VoiceError, match="neither a speaker head nor a voice head, so no voice can be enrolled"):
        writer.enroll("x", path)
    with pytest.raises(VoiceError, match="this recipe has no speaker head"):
        writer.identify(path)
    with pytest.raises(VoiceError, match="it has no voice head"):
        writer.convert(path, "x")
    with pytest.raises(HubError, match="has no voice yet"):
        writer.push_to_hub("me/writer", license="cc-by-4.0", consent="own-voice", dry_run=True)


def test_heads_alone(lesson: Path, tmp_path: Path) -> None:
    """A run that only writes and labels has no voices, and can be shown, loaded and trained on."""
    out = tmp_path / "run"
    made = teacher_frames(lesson, out, "heads.speaker=null", "training.criterion=recall", *SHORT)
    assert made.voices == ()
    assert made.labels == ("high", "low")
    again = vczoo.load(out)
    assert again.transcribe(lesson / "bob" / "9.wav") == made.transcribe(lesson / "bob" / "9.wav")
    shown = made.push_to_hub("me/writer", license="cc-by-4.0", consent="synthetic", dry_run=True)
    assert "README.md" in shown.files
    more = vczoo.finetune(out, lesson / "manifest.jsonl", tmp_path / "more", SHORT, progress=False, cache=False)
    assert "extension" not in more.metrics or more.metrics["extension"] == {}


def test_a_criterion_needs_its_head(lesson: Path, voices_folder: Path, small: tuple[str, ...], tmp_path: Path) -> None:
    for criterion, head in (("word-error", "a text head"), ("recall", "a label head")):
        with pytest.raises(
            vczoo.RecipeError, match=f"training.criterion: {criterion} needs {head}, but this recipe has none"
        ):
            vczoo.finetune("demo", voices_folder, tmp_path / "x", [*small, f"training.criterion={criterion}"])
    with pytest.raises(vczoo.RecipeError, match="choose loss or accuracy or recall or word-error, or add one"):
        teacher_frames(lesson, tmp_path / "x", "training.criterion=similarity")


def test_a_run_whose_labels_are_none(taught_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(taught_folder, tmp_path / "run"))
    text = (folder / "vczoo.yaml").read_text()
    for labels, said in (
        ("labels: [high, high]", "labels: the names must all be different"),
        ('labels: [high, "a\\tb"]', r"labels.1: a label is printable text of at most 200 characters"),
        (f"labels: [high, {'x' * 201}]", r"labels.1: a label is printable text"),
        (f"labels: {[str(number) for number in range(10_001)]}", "labels: List should have at most 10000 items"),
        ("labels: high", "labels: Input should be a valid list"),
        ("labels: [high]", "heads.height.output.weight"),
        ("labels: []", "heads.height.output.weight"),
    ):
        (folder / "vczoo.yaml").write_text(text.replace("labels:\n- high\n- low\n", f"{labels}\n"))
        with pytest.raises(RunError, match=said):
            vczoo.load(folder)


def test_the_commands(taught_folder: Path, lesson: Path, run_folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from vczoo.cli.app import app

    def run(*words: object) -> tuple[int, list[str]]:
        done = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(done.exception, VczooError):
            raise done.exception
        return done.exit_code, done.stdout.splitlines()

    first, second = lesson / "bob" / "9.wav", lesson / "alice" / "9.wav"
    converter = vczoo.load(taught_folder)
    assert run("transcribe", taught_folder, first, second) == (
        0,
        [f"{path}: {converter.transcribe(path)}" for path in (first, second)],
    )
    status, lines = run("transcribe", taught_folder, "--json", first, tmp_path / "none.wav")
    answer, failure = (json.loads(line) for line in lines)
    assert (status, answer) == (1, {"file": str(first), "text": converter.transcribe(first)})
    assert (failure["file"], "none.wav" in failure["error"]) == (str(tmp_path / "none.wav"), True)
    status, lines = run("classify", taught_folder, first)
    assert (status, lines[0].startswith(f"{first}: low {converter.classify(first)['low']:.3f}")) == (0, True)
    (line,) = run("classify", taught_folder, "--json", first)[1]
    assert json.loads(line) == {"file": str(first), "labels": converter.classify(first)}
    for command in ("transcribe", "classify"):
        with pytest.raises(VczooError, match="no head of this recipe"):
            run(command, run_folder, first)


def test_texts_are_not_asked_of_other_recipes(voices_folder: Path, small: tuple[str, ...], tmp_path: Path) -> None:
    """A manifest with texts and labels trains a recipe of voices as one without does."""
    files = (annotated(voices_folder, tmp_path / "a.jsonl", label="x", text="2 %"), voices_folder)
    runs = [
        vczoo.finetune("demo", data, tmp_path / f"run{number}", [*small, *SHORT], progress=False).run
        for number, data in enumerate(files)
    ]
    tensors = [run.model.tensors() for run in runs]
    assert [run.labels for run in runs] == [(), ()]
    assert "labels:" not in (tmp_path / "run0" / "vczoo.yaml").read_text()
    assert set(tensors[0]) == set(tensors[1])


def test_an_unlabelled_recording_stops_nothing_else(lesson: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (lesson / "manifest.jsonl").read_text().splitlines()]
    rows[3] |= {"text": ""}
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CorpusError, match=r"1 of 120 recordings have no text; .*\n    .*bob/1.wav"):
        vczoo.finetune(lesson / "vowels.yaml", tmp_path / "m.jsonl", tmp_path / "run", progress=False)
