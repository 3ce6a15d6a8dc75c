"""Manifests: the names and values of their columns, parts of recordings, groups, and paths that were moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.data.excerpts import UtteranceReader
from vczoo.errors import CorpusError


def manifest(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows_of(voices: Path, count: int = 6) -> list[str]:
    return [f"{voices}/{speaker}/{number}.wav,{speaker}" for speaker in ("alice", "bob") for number in range(count)]


def splits_of(corpus: Corpus) -> dict[str, str]:
    return {f"{u.speaker}/{u.path.stem}": u.split for u in corpus.utterances}


# Columns


@pytest.mark.parametrize("header", ["split", "Split", " SET ", "subset"])
@pytest.mark.parametrize(
    "values", [("test", "validation", "train"), ("Eval", "dev", "Training"), ("testing", "val", "TRAIN")]
)
def test_other_names_of_the_split_are_read(
    voices_folder: Path, tmp_path: Path, header: str, values: tuple[str, ...]
) -> None:
    of = [values[0], values[1], *[values[2]] * 4] * 2
    rows = [f"{row},{split}" for row, split in zip(rows_of(voices_folder), of, strict=True)]
    corpus = read_corpus(manifest(tmp_path, "m.csv", f"Path,SPEAKER,{header}", *rows))
    assert {u.path.stem for u in corpus.split("test")} == {"0"}
    assert {u.path.stem for u in corpus.split("validation")} == {"1"}
    assert corpus.notes == ()


def test_columns_of_the_split_that_agree_are_fine_and_others_are_faults(voices_folder: Path, tmp_path: Path) -> None:
    rows = rows_of(voices_folder)
    agreeing = [f"{row},train,training," for row in rows[:4]] + [f"{rows[4]},,dev,", f"{rows[5]},test,eval,"]
    corpus = read_corpus(manifest(tmp_path, "m.csv", "path,speaker,split,set,subset", *agreeing))
    assert [u.split for u in corpus.utterances] == [*["train"] * 4, "validation", "test"]
    contrary = [*agreeing, f"{rows[6]},train,,dev"]
    with pytest.raises(CorpusError, match="line 8: split is 'train' and subset is 'dev', but both mean the split"):
        read_corpus(manifest(tmp_path, "m.csv", "path,speaker,split,set,subset", *contrary))


def test_a_value_that_is_no_split_is_a_fault(voices_folder: Path, tmp_path: Path) -> None:
    rows = [f"{row},other" for row in rows_of(voices_folder)]
    with pytest.raises(CorpusError, match="line 2: split is 'other', expected train, validation, test or nothing"):
        read_corpus(manifest(tmp_path, "m.csv", "path,speaker,subset", *rows))


def test_two_columns_of_one_name_are_refused(voices_folder: Path, tmp_path: Path) -> None:
    rows = [f"{row},train,test" for row in rows_of(voices_folder)]
    with pytest.raises(CorpusError, match="two columns are called split; remove or rename one"):
        read_corpus(manifest(tmp_path, "m.csv", "path,speaker,split,split", *rows))


def test_columns_that_nothing_reads_are_named_once(voices_folder: Path, tmp_path: Path) -> None:
    rows = [f"{row},f,3" for row in rows_of(voices_folder)]
    corpus = read_corpus(manifest(tmp_path, "m.csv", "path,speaker,gender,age", *rows))
    assert corpus.report().splitlines()[-1] == "other columns of m.csv, for heads that name them: gender, age"
    lines = [json.dumps({"path": row.split(",")[0], "speaker": row.split(",")[1], "age": 3}) for row in rows]
    corpus = read_corpus(manifest(tmp_path, "m.jsonl", *lines))
    assert corpus.notes == ("other columns of m.jsonl, for heads that name them: age",)


def test_other_columns_are_read_and_belong_to_the_data_once_a_head_names_them(
    voices_folder: Path, tmp_path: Path
) -> None:
    def corpus(valence: object, age: int) -> vczoo.Corpus:
        pairs = [row.split(",")[:2] for row in rows_of(voices_folder)]
        rows = [{"path": path, "speaker": name, "valence": valence, "age": age} for path, name in pairs]
        return read_corpus(manifest(tmp_path, f"{valence}{age}.jsonl", *map(json.dumps, rows)))

    plain, read = corpus(0.5, 3), corpus(0.5, 3).reading(["valence", "label"])
    assert {utterance.annotation("valence") for utterance in plain.utterances} == {"0.5"}
    assert {utterance.annotation("other") for utterance in plain.utterances} == {""}
    assert read.columns == ("valence",)
    assert plain.fingerprint() == corpus(0.7, 3).fingerprint()
    assert read.fingerprint() == corpus(0.5, 4).reading(["valence"]).fingerprint()
    assert read.fingerprint() not in (plain.fingerprint(), corpus(0.7, 3).reading(["valence"]).fingerprint())
    assert "valence" not in plain.to_jsonl()
    (tmp_path / "again.jsonl").write_text(read.to_jsonl())
    again = read_corpus(tmp_path / "again.jsonl").reading(["valence"])
    assert again.fingerprint() == read.fingerprint()
    assert again.merge(corpus(0.7, 3)).reading(["age"]).utterances[0].annotation("valence") == "0.5"
    assert again.merge(corpus(0.7, 3)).utterances[0].annotation("age") == "3"


# Parts of recordings


def parted(voices: Path, folder: Path) -> Path:
    """Each recording in two parts, of which only the first is 0.3 s long."""
    rows = [f"{row},0.1,0.4" for row in rows_of(voices)] + [f"{row},0.4," for row in rows_of(voices)]
    return manifest(folder, "parts.csv", "path,speaker,start,end", *rows)


def test_start_and_end_are_the_utterance(voices_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(parted(voices_folder, tmp_path))
    assert len(corpus.utterances) == 24
    first, rest = corpus.utterances[:2]
    whole = Waveform.read(first.path)
    assert (first.first_second, first.seconds, first.is_part) == (0.1, 0.3, True)
    assert (rest.first_second, rest.seconds) == (0.4, pytest.approx(whole.seconds - 0.4))
    reader = UtteranceReader()
    assert reader.read(first).samples.equal(whole.samples[:, 1600:6400])
    assert reader.read(rest).samples.equal(whole.samples[:, 6400:])
    assert len(corpus.split("test")) == 2  # a tenth of each speaker's twelve
    assert first.name.endswith("0.wav (0.10 to 0.40 s)")


def test_a_corpus_of_parts_survives_its_manifest(voices_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(parted(voices_folder, tmp_path))
    again = read_corpus(manifest(tmp_path, "m.jsonl", corpus.to_jsonl()))
    assert again == corpus
    assert again.fingerprint() == corpus.fingerprint()
    assert corpus.merge(again) == corpus
    moved = (tmp_path / "parts.csv").read_text().replace("0.1,0.4", "0.1,0.35")
    assert read_corpus(manifest(tmp_path, "other.csv", moved)).fingerprint() != corpus.fingerprint()
    assert 0 < len(corpus.within(0.02).split("train")) < len(corpus.split("train"))


def test_merging_leaves_out_what_overlaps_in_another_way(voices_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(parted(voices_folder, tmp_path))
    merged = corpus.merge(read_corpus(voices_folder))
    assert {u.speaker for u in merged.utterances if not u.is_part} == {"carol"}
    assert "left out 12 utterances, because parts of the same recordings are here already" in merged.notes


@pytest.mark.parametrize(
    ("times", "fault"),
    [
        ("soon,2", "start is 'soon', expected seconds from the beginning of the file"),
        ("-1,2", "start is '-1', expected seconds"),
        ("0,inf", "end is 'inf', expected seconds"),
        ("0.5,0.5", "it ends at 0.5 s and starts at 0.5 s; at least 0.02 s are needed"),
    ],
)
def test_times_that_are_none_are_faults_by_line(voices_folder: Path, tmp_path: Path, times: str, fault: str) -> None:
    rows = [f"{row},{times}" for row in rows_of(voices_folder)]
    with pytest.raises(CorpusError, match=f"line 2: {fault}"):
        read_corpus(manifest(tmp_path, "m.csv", "path,speaker,start,end", *rows))


def test_a_part_that_is_not_in_its_file_is_a_fault_by_line(voices_folder: Path, tmp_path: Path) -> None:
    rows = [f"{row},0,0.3" for row in rows_of(voices_folder)]
    rows[2] = rows[2].replace("0,0.3", "0.2,60")
    rows[4] = rows[4].replace("0,0.3", "70,")
    with pytest.raises(CorpusError) as error:
        read_corpus(manifest(tmp_path, "m.csv", "path,speaker,start,end", *rows))
    assert "m.csv line 4: 2.wav lasts 1." in str(error.value)
    assert "but the utterance is from 0.2 s to 60 s" in str(error.value)
    assert "m.csv line 6: 4.wav lasts" in str(error.value)


def test_a_silent_part_is_skipped_and_the_rest_of_the_file_is_not(tmp_path: Path, tone) -> None:
    import torch

    sound = Waveform.read(tone(tmp_path / "t.wav", seconds=2.0)).samples
    Waveform.of(torch.cat([sound, torch.zeros(1, 32000)], dim=1), 16000).save(tmp_path / "a.wav")
    rows = [f"a.wav,ann,{start / 2},{start / 2 + 0.5}" for start in range(8)]
    corpus = read_corpus(manifest(tmp_path, "m.csv", "path,speaker,start,end", *rows))
    assert [u.first_second for u in corpus.utterances] == [0.0, 0.5, 1.0, 1.5]
    assert next(skipped.reason.split(" (")[0] for skipped in corpus.skipped) == "silent from 2 s to 2.5 s"
    assert len(corpus.skipped) == 4


# Groups and channels


def grouped(voices: Path, folder: Path, splits: dict[int, str] | None = None) -> Path:
    rows = [f"{row},g{number % 6 // 2},{(splits or {}).get(number, '')}" for number, row in enumerate(rows_of(voices))]
    return manifest(folder, "g.csv", "path,speaker,group,split", *rows)


def test_a_group_is_in_one_split_also_of_several_speakers(voices_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(grouped(voices_folder, tmp_path))
    of_group = {u.group: {v.split for v in corpus.utterances if v.group == u.group} for u in corpus.utterances}
    assert sorted(map(tuple, of_group.values())) == [("test",), ("train",), ("validation",)]
    again = read_corpus(manifest(tmp_path, "m.jsonl", corpus.to_jsonl()))
    assert again == corpus
    marked = read_corpus(grouped(voices_folder, tmp_path, {0: "test"}))
    assert {u.split for u in marked.utterances if u.group == "g0"} == {"test"}


def test_a_group_in_two_splits_and_too_few_groups_are_faults(voices_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"group 'g0' is for test \(.*line 2\) and for train \(.*line 3\)"):
        read_corpus(grouped(voices_folder, tmp_path, {0: "test", 1: "train"}))
    rows = [f"{row},one" for row in rows_of(voices_folder)]
    with pytest.raises(CorpusError, match=r"'alice' has 6 in too few groups \(1 without a split\); use smaller groups"):
        read_corpus(manifest(tmp_path, "m.csv", "path,speaker,group", *rows))


def test_merging_keeps_a_group_on_its_side(voices_folder: Path, tmp_path: Path) -> None:
    rows = [f"{row},session,test" for row in rows_of(voices_folder)[:2]]
    rows += [f"{row},,train" for row in rows_of(voices_folder)[2:4]]
    mine = read_corpus(manifest(tmp_path, "mine.csv", "path,speaker,group,split", *rows))
    rows = [f"{row},{group},train" for row, group in zip(rows_of(voices_folder)[4:6], ("session", ""), strict=True)]
    merged = mine.merge(read_corpus(manifest(tmp_path, "other.csv", "path,speaker,group,split", *rows)))
    assert splits_of(merged) == {
        "alice/0": "test",
        "alice/1": "test",
        "alice/2": "train",
        "alice/3": "train",
        "alice/4": "test",
        "alice/5": "train",
    }


def test_two_people_on_two_channels_are_two_speakers(tmp_path: Path, voices_folder: Path) -> None:
    time = np.arange(3 * 16000) / 16000
    for number in range(3):
        left, right = (0.2 * np.sin(2 * np.pi * (hz + number) * time) for hz in (200, 300))
        soundfile.write(tmp_path / f"{number}.wav", np.stack([left, right], axis=1), 16000)
    rows = [f"{number}.wav,{name},{side}" for number in range(3) for name, side in (("ann", "Left"), ("bob", "right"))]
    corpus = read_corpus(manifest(tmp_path, "m.csv", "path,speaker,channel", *rows))
    assert {(u.speaker, u.channel) for u in corpus.utterances} == {("ann", "left"), ("bob", "right")}
    reader = UtteranceReader()
    for utterance in corpus.utterances:
        spectrum = np.abs(np.fft.rfft(reader.read(utterance).samples[0].numpy()))
        assert abs(int(spectrum.argmax()) / 3 - (200 if utterance.speaker == "ann" else 300)) <= 3
    with pytest.raises(CorpusError, match="line 2: channel is 'top', expected left, right, mix or nothing"):
        read_corpus(manifest(tmp_path, "m.csv", "path,speaker,channel", f"{rows_of(voices_folder)[0]},top"))


# Paths


def test_a_manifest_that_moved_with_its_recordings_finds_them(voices_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(voices_folder, tmp_path / "project" / "voices")
    run = tmp_path / "project" / "runs" / "mine"
    run.mkdir(parents=True)
    corpus = read_corpus(tmp_path / "project" / "voices")
    fingerprint = corpus.fingerprint()
    (run / "manifest.jsonl").write_text(corpus.to_jsonl(run))
    alone = shutil.move(run, tmp_path / "elsewhere")  # without the recordings: the absolute paths hold
    assert read_corpus(Path(alone) / "manifest.jsonl") == corpus
    shutil.move(alone, run)
    (tmp_path / "project").rename(tmp_path / "moved")
    again = read_corpus(tmp_path / "moved" / "runs" / "mine" / "manifest.jsonl")
    assert {u.path.parents[1] for u in again.utterances} == {tmp_path / "moved" / "voices"}
    assert splits_of(again) == splits_of(corpus)
    assert again.fingerprint() == fingerprint
    shutil.rmtree(tmp_path / "moved" / "voices")
    with pytest.raises(CorpusError, match=r"no such file: .*project/voices"):
        read_corpus(tmp_path / "moved" / "runs" / "mine" / "manifest.jsonl")
