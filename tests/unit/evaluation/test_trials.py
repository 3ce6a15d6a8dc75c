"""Trial lists and references: what is read, and every fault in one report."""

from __future__ import annotations

import csv
import itertools
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError
from vczoo.evaluation.references import References, place_manifest, read_references
from vczoo.evaluation.trials import Trial, read_trials

LISTS = ROOT / "benchmarks" / "trials"
HEADER = "source,source_speaker,voice,text,parallel\n"


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    file = folder / "trials.csv"
    file.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


@pytest.fixture
def references(voices_folder: Path) -> References:
    """Each speaker's first four utterances are matched with, the last is held out."""
    files = {folder.name: sorted(folder.iterdir()) for folder in voices_folder.iterdir()}
    return References(
        {name: tuple(paths[:4]) for name, paths in files.items()},
        {name: (paths[5],) for name, paths in files.items()},
    )


def test_a_list_is_read_with_its_optional_columns(tmp_path: Path, voices_folder: Path, references: References) -> None:
    file = write(tmp_path, 'alice/4.wav,alice,bob,"Well, well.",bob/4.wav', "alice/5.wav,alice,bob,,")
    found = read_trials(file, root=voices_folder, references=references, voices=["alice", "bob"])
    assert found == (
        Trial(voices_folder / "alice/4.wav", "alice", "bob", "Well, well.", voices_folder / "bob/4.wav"),
        Trial(voices_folder / "alice/5.wav", "alice", "bob"),
    )
    assert found[0].name == "alice-4-as-bob"


def test_names_that_would_lead_out_of_a_folder_are_refused(tmp_path: Path, voices_folder: Path) -> None:
    file = write(tmp_path, "alice/4.wav,../../escaped/x,bob,,", "alice/5.wav,alice,..,,")
    with pytest.raises(CorpusError) as caught:
        read_trials(file, root=voices_folder)
    assert "line 2: source_speaker: the name '../../escaped/x' holds a slash" in str(caught.value)
    assert "line 3: voice: the name '..' has only dots" in str(caught.value)
    assert Trial(Path("x"), "../../escaped/x", "..").name == "_._.._escaped_x-x-as-.."


def test_paths_are_relative_to_the_list_and_may_be_absolute(tmp_path: Path, voices_folder: Path) -> None:
    shutil.copy(voices_folder / "bob/4.wav", tmp_path / "here.wav")
    absolute = voices_folder / "alice" / "4.wav"
    file = write(tmp_path, "here.wav,bob,alice", f"{absolute},alice,bob", header="\ufeffsource,source_speaker,voice\n")
    assert [trial.source for trial in read_trials(file)] == [tmp_path / "here.wav", absolute]


def test_every_fault_is_in_one_report(tmp_path: Path, voices_folder: Path, references: References) -> None:
    file = write(
        tmp_path,
        "alice/4.wav,alice,bob,,",
        "alice/99.wav,alice,bob,,bob/98.wav",
        "alice/../alice/4.wav,alice,bob,,",
        "alice/1.wav,alice,bob,,",
        "bob/1.wav,bob,alise,,",
        ",,alice,,",
        "alice/5.wav,alice,carol,,carol/2.wav",
    )
    with pytest.raises(CorpusError) as error:
        read_trials(file, root=voices_folder, references=references, voices=["alice", "bob", "carol"])
    report = str(error.value)
    for part in (
        f"trial list {file} has 9 faults",
        f"line 3: source: no such file: {voices_folder}/alice/99.wav; check the path",
        f"line 3: parallel: no such file: {voices_folder}/bob/98.wav",
        "line 4: 4.wav into 'bob' is already in line 2 and would count twice; remove one",
        "line 5: source 1.wav is in the matching or training set of 'alice', so its scores would be too good",
        "line 6: source 1.wav is in the matching or training set of 'bob', so its scores would be too good",
        "line 6: no voice is called 'alise'; did you mean 'alice'?",
        "line 7: no source",
        "line 7: no source_speaker",
        "line 8: parallel 2.wav is in the matching or training set of 'carol'",
    ):
        assert part in report


def test_a_copy_of_what_was_trained_on_is_found(tmp_path: Path, voices_folder: Path, references: References) -> None:
    shutil.copy(voices_folder / "bob/2.wav", tmp_path / "fresh.wav")
    file = write(tmp_path, "fresh.wav,bob,alice,,")
    with pytest.raises(CorpusError, match=r"fresh\.wav is in the matching or training set of 'bob', as .*bob/2\.wav"):
        read_trials(file, references=references)
    other = References({"alice": references.matching["alice"]})
    assert len(read_trials(file, references=other)) == 1
    with pytest.raises(CorpusError, match="its scores would be too good"):
        read_trials(file, references=other, shown=references)


def test_a_voice_needs_real_speech(tmp_path: Path, voices_folder: Path, references: References) -> None:
    file = write(tmp_path, "alice/4.wav,alice,bobby,,")
    with pytest.raises(CorpusError, match="no real recording of 'bobby' to compare with; did you mean 'bob'"):
        read_trials(file, root=voices_folder, references=references)


def test_columns_that_are_missing_or_unknown_are_named(tmp_path: Path, voices_folder: Path) -> None:
    file = write(tmp_path, "alice/4.wav,bob,x", header="source,voice,paralel\n")
    with pytest.raises(CorpusError, match="no column source_speaker") as error:
        read_trials(file, root=voices_folder)
    assert "no such column: 'paralel'; did you mean 'parallel'?" in str(error.value)
    with pytest.raises(CorpusError, match="no trials: the file is empty or has only a header"):
        read_trials(write(tmp_path))
    with pytest.raises(CorpusError, match="more fields than columns"):
        read_trials(write(tmp_path, "a,b,c,d,e,f"))
    with pytest.raises(CorpusError, match="cannot be read"):
        read_trials(tmp_path / "none.csv")


def test_references_of_a_manifest_and_of_a_folder(tmp_path: Path, voices_folder: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(
        "path,speaker,split\nbob/0.wav,bob,train\nbob/1.wav,bob,validation\nbob/2.wav,bob,test\nbob/3.wav,bob,\n"
    )
    found = read_references(manifest, voices_folder)
    assert found.matching == {"bob": tuple(voices_folder / "bob" / f"{n}.wav" for n in (0, 1, 3))}
    assert found.held_out == {"bob": (voices_folder / "bob" / "2.wav",)}
    whole = read_references(voices_folder)
    assert {name: len(paths) for name, paths in whole.matching.items()} == {"alice": 6, "bob": 6, "carol": 6}
    assert not whole.held_out
    with pytest.raises(CorpusError, match="line 2: no such file"):
        read_references(manifest)


def test_a_frozen_manifest_is_placed_where_the_data_are(tmp_path: Path, voices_folder: Path) -> None:
    manifest = tmp_path / "frozen.csv"
    manifest.write_text("path,speaker,split\n" + "".join(f"bob/{n}.wav,bob,train\n" for n in range(3)))
    placed = place_manifest(manifest, voices_folder, tmp_path / "placed.csv")
    assert [u.path for u in read_corpus(placed, validation=0, test=0).utterances] == [
        voices_folder / "bob" / f"{n}.wav" for n in range(3)
    ]
    with pytest.raises(CorpusError, match="no column path"):
        place_manifest(write(tmp_path), voices_folder, tmp_path / "other.csv")


def test_the_frozen_lists_are_what_they_say() -> None:
    manifest = list(csv.DictReader((LISTS / "vctk-mini-manifest.csv").open()))
    trials = list(csv.DictReader((LISTS / "vctk-mini.csv").open()))
    splits = Counter((row["speaker"], row["split"]) for row in manifest)
    speakers = {"p225", "p226", "p227", "p228"}
    counts = {"train": 7, "validation": 1, "test": 2}
    assert splits == {(name, split): count for name in speakers for split, count in counts.items()}
    for name in speakers:  # in the order of their names: train, then validation, then test
        own = sorted((row["path"], row["split"]) for row in manifest if row["speaker"] == name)
        assert [split for _, split in own] == ["train"] * 7 + ["validation", "test", "test"]
    pairs = Counter((row["source_speaker"], row["voice"]) for row in trials)
    assert pairs == dict.fromkeys(itertools.permutations(speakers, 2), 2)
    held_out = {row["path"] for row in manifest if row["split"] == "test"}
    assert {row["source"] for row in trials} == {row["parallel"] for row in trials} == held_out


def test_the_frozen_lists_have_no_fault_on_the_data(shared: Path) -> None:
    data = shared / "data" / "vctk-mini"
    references = read_references(LISTS / "vctk-mini-manifest.csv", data)
    assert {name: len(paths) for name, paths in references.matching.items()} == dict.fromkeys(
        ("p225", "p226", "p227", "p228"), 8
    )
    assert len(read_trials(LISTS / "vctk-mini.csv", root=data, references=references)) == 24
