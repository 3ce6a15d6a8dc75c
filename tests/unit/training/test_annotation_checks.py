"""Texts and labels of recordings: where they come from, what is kept of them, and what is told of those that lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vczoo
from tests.support.annotated import annotated, text_of
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError
from vczoo.models.build import build
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.training.annotation_checks import check_annotations

PLAIN = {
    "name": "x",
    "summary": "x",
    "backbone": {"use": "mel-conv", "weights": "random", "width": 8, "blocks": 1},
    "freezing": {"use": "full"},
}


def model_of(labels: tuple[str, ...] = ("high", "low"), **heads: str) -> Model:
    given = {name: {"use": use} for name, use in heads.items()}
    return build(Recipe.parse({**PLAIN, "heads": given}), 3, labels)


def both(labels: tuple[str, ...] = ("high", "low")) -> Model:
    return model_of(labels, text="ctc", emotion="classifier")


def test_a_manifest_gives_texts_and_labels(voices_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(annotated(voices_folder, tmp_path / "m.jsonl"))
    assert {utterance.text for utterance in corpus.utterances} == {text_of(number) for number in range(6)}
    assert corpus.labels == ("high", "low")
    check_annotations(both(), corpus, 2.0)
    (tmp_path / "again.jsonl").write_text(corpus.to_jsonl())
    again = read_corpus(tmp_path / "again.jsonl")
    assert again == corpus
    assert again.fingerprint() == corpus.fingerprint()
    other = read_corpus(annotated(voices_folder, tmp_path / "other.jsonl", text="e"))
    assert other.fingerprint() != corpus.fingerprint()
    parts = corpus.utterances[0].parts(0.3)
    assert {(part.text, part.label) for part in parts} == {(corpus.utterances[0].text, corpus.utterances[0].label)}


def test_a_column_that_a_head_reads_has_a_number_for_each_recording(voices_folder: Path, tmp_path: Path) -> None:
    model = model_of(emotion="classifier")
    model.heads["emotion"].annotation_columns = {"valence": "number", "mood": "text"}
    check_annotations(model, read_corpus(annotated(voices_folder, tmp_path / "a.jsonl", valence=-1, mood="x")), 2.0)
    with pytest.raises(CorpusError, match=r"18 of 18 recordings have no mood; add a column mood in a manifest"):
        check_annotations(model, read_corpus(annotated(voices_folder, tmp_path / "b.jsonl", valence="0.5")), 2.0)
    for number, wrong in enumerate(("low", "nan", "inf")):
        corpus = read_corpus(annotated(voices_folder, tmp_path / f"{number}.jsonl", valence=wrong, mood="x"))
        with pytest.raises(CorpusError, match=f"18 recordings have a valence that is not a number.*(\n.*): '{wrong}'"):
            check_annotations(model, corpus, 2.0)


def test_a_csv_with_spaces_and_unicode_forms(voices_folder: Path, tmp_path: Path) -> None:
    row = f'{voices_folder}/alice/0.wav,alice,train,"Cafe\u0301, s\'il vous plaît ", \u0301e\n'
    (tmp_path / "m.csv").write_text("path,speaker,split,text,label\n" + row.replace(" \u0301e", " gai"))
    (utterance,) = read_corpus(tmp_path / "m.csv").utterances
    assert (utterance.text, utterance.label) == ("Café, s'il vous plaît", "gai")


def test_a_text_file_beside_a_recording_has_its_text(tmp_path: Path, tone) -> None:
    for number in range(4):
        tone(tmp_path / "voices" / "alice" / f"{number}.wav", hz=200 + 50 * number)
    alice = tmp_path / "voices" / "alice"
    (alice / "0.txt").write_text("\ufeffHello, you!\n", encoding="utf-8")
    (alice / "1.txt").write_text("as it was read", encoding="utf-8")
    (alice / "1.normalized.txt").write_text("as it was said", encoding="utf-8")  # LibriTTS has both
    (alice / "2.txt").write_bytes(b"caf\xe9")
    texts = {utterance.path.stem: utterance.text for utterance in read_corpus(tmp_path / "voices").utterances}
    assert texts == {"0": "Hello, you!", "1": "as it was said", "2": "caf\ufffd", "3": ""}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"label": "x" * 201}, "is not printable text of at most 200 characters"),
        ({"label": "a\u0000b"}, "is not printable text"),
        ({"label": 3}, "label must be text, got 3"),
        ({"text": ["a"]}, "text must be text"),
    ],
)
def test_a_manifest_with_faults(row: dict[str, object], said: str, voices_folder: Path, tmp_path: Path) -> None:
    path = voices_folder / "alice" / "0.wav"
    (tmp_path / "m.jsonl").write_text(json.dumps({"path": str(path), "speaker": "alice", **row}) + "\n")
    with pytest.raises(CorpusError, match=f"line 1: .*{said}"):
        read_corpus(tmp_path / "m.jsonl")


def test_two_listings_of_one_recording(voices_folder: Path, tmp_path: Path) -> None:
    plain = voices_folder
    told = annotated(voices_folder, tmp_path / "m.jsonl")
    corpus = read_corpus([plain, told])
    assert all(utterance.text and utterance.label for utterance in corpus.utterances)
    merged = read_corpus(plain).merge(read_corpus(told))
    assert [u.text for u in merged.utterances] == [u.text for u in corpus.utterances]
    other = annotated(voices_folder, tmp_path / "other.jsonl", label="sad")
    with pytest.raises(CorpusError, match=r"label is 'high' \(.*m.jsonl line 1\) and 'sad' \(.*other.jsonl line 1\)"):
        read_corpus([told, other])
    with pytest.raises(CorpusError, match="label is 'high' in one corpus and 'sad' in the other"):
        read_corpus(told).merge(read_corpus(other))


def faults_of(model: Model, corpus: Corpus, crop_seconds: float = 2.0) -> list[str]:
    with pytest.raises(CorpusError) as error:
        check_annotations(model, corpus, crop_seconds)
    return str(error.value).split("\n  - ")[1:]


def test_recordings_without_text_and_label_are_told_together(voices_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(voices_folder)
    label, text = faults_of(both(("unknown",)), corpus)[0], faults_of(both(("unknown",)), corpus)[-1]
    assert label.startswith("18 of 18 recordings have no label; add a column label in a manifest:")
    assert text.startswith("18 of 18 recordings have no text; add a .txt file beside each recording, or a column text")
    assert "alice/0.wav" in text
    assert text.endswith("and 8 more")
    check_annotations(model_of(speaker="speaker-classifier"), corpus, 0.1)  # which needs none


def test_labels_must_be_learnt_and_be_two(voices_folder: Path, tmp_path: Path) -> None:
    one = read_corpus(annotated(voices_folder, tmp_path / "m.jsonl", label="calm"))
    model = model_of(("calm",), emotion="classifier")
    assert faults_of(model, one) == ["a label head needs at least 2 labels, but the training recordings have only calm"]
    told = read_corpus(annotated(voices_folder, tmp_path / "m.jsonl"))
    (fault,) = faults_of(model_of(("high", "sad"), emotion="classifier"), told)
    assert fault.startswith("labels that no recording for training has: 'low' (6)")


def test_what_the_alphabet_lacks_is_told_with_counts(voices_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(annotated(voices_folder, tmp_path / "m.jsonl", text="e 2 é 2"))
    (fault,) = faults_of(model_of(text="ctc"), corpus)
    assert fault.startswith("heads.text.alphabet lacks characters of the texts, with their counts: '2' (36), 'é' (18).")
    assert "write the texts as they are spoken (2 as two)" in fault
    corpus = read_corpus(annotated(voices_folder, tmp_path / "m.jsonl", text="..."))
    (fault,) = faults_of(model_of(text="ctc"), corpus)
    assert fault.startswith("18 texts have no character that head text can write; correct them:")


def test_recordings_too_long_and_texts_too_long(voices_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(annotated(voices_folder, tmp_path / "m.jsonl"))
    longest = max(utterance.seconds for utterance in corpus.utterances)
    (fault,) = faults_of(model_of(text="ctc"), corpus, 0.9)
    assert fault.startswith(f"{sum(u.seconds > 0.9 for u in corpus.utterances)} recordings are longer than 0.9 s")
    assert f"set training.crop_seconds={longest:.2f} or more" in fault
    check_annotations(model_of(text="ctc"), corpus, longest)
    corpus = read_corpus(annotated(voices_folder, tmp_path / "m.jsonl", text="e" * 40))
    (fault,) = faults_of(model_of(text="ctc"), corpus)
    assert "recordings have fewer frames than head text needs for their texts" in fault
    assert ", 79 needed for 'eeee" in fault


def test_nothing_is_made_of_what_cannot_be_learnt(voices_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "writes.yaml"
    recipe.write_text(
        "summary: x\nbackbone: {use: mel-conv, weights: random, width: 8}\nfreezing: {use: full}\n"
        "heads: {text: {use: ctc}}\n"
    )
    with pytest.raises(CorpusError, match="18 of 18 recordings have no text"):
        vczoo.finetune(recipe, voices_folder, tmp_path / "run", progress=False)
    with pytest.raises(CorpusError, match="18 of 18 recordings have no text"):
        vczoo.find_learning_rate(recipe, voices_folder, steps=40, progress=False)
    assert not (tmp_path / "run").exists()
