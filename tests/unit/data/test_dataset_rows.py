"""Data sets of Hugging Face Datasets as a corpus: stand-ins of its interface, and the library where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import vczoo
from vczoo.errors import CorpusError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VCZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Audio:
    """A feature whose rows are decoded already."""


class ClassLabel:
    names = ("alice", "bob", "carol")

    def int2str(self, value: int) -> str:
        return self.names[value]


@dataclass
class Rows:
    """As `datasets.Dataset`."""

    rows: list[dict[str, Any]]
    features: dict[str, Any]

    @property
    def column_names(self) -> list[str]:
        return list(self.features)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


def decoded(path: Path) -> dict[str, Any]:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return {"path": None, "array": samples, "sampling_rate": rate_hz}


def rows_of(folder: Path, **features: Any) -> Rows:
    rows = [
        {"audio": decoded(path), "speaker_id": number, "text": f"sentence {path.stem}", "chapter": 7}
        for number, speaker in enumerate(ClassLabel.names)
        for path in sorted((folder / speaker).glob("*.wav"))
    ]
    return Rows(rows, {"audio": Audio(), "speaker_id": ClassLabel(), "text": None, "chapter": None} | features)


def test_rows_are_utterances_of_their_speakers(voices_folder: Path, cache: Path) -> None:
    corpus = vczoo.read_corpus(rows_of(voices_folder))
    folder = vczoo.read_corpus(voices_folder)
    assert corpus.speakers == folder.speakers
    assert corpus.seconds_by_speaker() == pytest.approx(folder.seconds_by_speaker())
    assert {utterance.text for utterance in corpus.utterances} == {f"sentence {number}" for number in range(6)}
    assert {utterance.path.parent for utterance in corpus.utterances} == {cache / "recordings"}
    assert "other columns of the data set, for heads that name them: chapter" in corpus.notes
    again = vczoo.read_corpus(rows_of(voices_folder))
    assert again.utterances == corpus.utterances
    for utterance in corpus.utterances:  # 16 bits hold what was 16 bits
        original = soundfile.read(voices_folder / utterance.speaker / f"{utterance.text[-1]}.wav", dtype="float32")[0]
        np.testing.assert_array_equal(soundfile.read(utterance.path, dtype="float32")[0], original)


def test_numbers_are_names_and_a_column_of_that_name_comes_first(voices_folder: Path) -> None:
    rows = rows_of(voices_folder, speaker_id=None)
    assert vczoo.read_corpus(rows).speakers == ("0", "1", "2")
    for row in rows.rows:
        row["speaker"] = f"reader {row['speaker_id']}"
    rows.features["speaker"] = None
    assert vczoo.read_corpus(rows).speakers == ("reader 0", "reader 1", "reader 2")


def test_a_row_without_sound_is_skipped(voices_folder: Path) -> None:
    rows = rows_of(voices_folder)
    rows.rows[0]["audio"] = {"bytes": None, "path": "https://example.org/a.wav"}
    rows.rows[1]["audio"]["array"] = np.full(8000, np.nan)
    corpus = vczoo.read_corpus(rows)
    assert [item.path.name for item in corpus.skipped] == ["row 0", "row 1"]
    assert "neither sound nor a file on this machine" in corpus.skipped[0].reason
    assert "are NaN or infinite" in corpus.skipped[1].reason


def test_what_is_no_corpus_is_refused(voices_folder: Path) -> None:
    rows = rows_of(voices_folder)
    without_speaker = Rows(rows.rows, {"audio": Audio(), "text": None})
    with pytest.raises(CorpusError, match=r"no column of speakers, but audio, text. Rename one with dataset.rename_"):
        vczoo.read_corpus(without_speaker)
    assert vczoo.read_corpus(without_speaker, speaker="dora").speakers == ("dora",)
    with pytest.raises(CorpusError, match="one column of type Audio, got none of text"):
        vczoo.read_corpus(Rows([], {"text": None}))
    with pytest.raises(CorpusError, match=r"got a dict; choose one of its splits, as data\['train'\]"):
        vczoo.read_corpus({"train": rows})  # type: ignore[arg-type]
    for other in (5, None, np.zeros(16000), {"array": np.zeros(16000)}):
        with pytest.raises(
            CorpusError, match=r"a corpus is read from a folder, a .csv or .jsonl manifest, a recording, a"
        ):
            vczoo.read_corpus(other)  # type: ignore[arg-type]
    rows.rows[3]["speaker_id"] = None
    with pytest.raises(CorpusError, match="row 3: speaker"):
        vczoo.read_corpus(rows)


@pytest.mark.slow
def test_the_library_itself(voices_folder: Path, cache: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths = sorted(voices_folder.rglob("*.wav"))
    speakers = [path.parent.name for path in paths]
    encoded = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    features = datasets.Features({"audio": datasets.Audio(), "speaker": datasets.Value("string")})
    for column in ([str(path) for path in paths], encoded):
        data = datasets.Dataset.from_dict({"audio": column, "speaker": speakers}, features=features)
        for each in (data, data.with_format("torch"), data.to_iterable_dataset()):
            corpus = vczoo.read_corpus(each)
            assert corpus.fingerprint() == vczoo.read_corpus(each).fingerprint()
            assert corpus.seconds_by_speaker() == pytest.approx(vczoo.read_corpus(voices_folder).seconds_by_speaker())
    with pytest.raises(CorpusError, match=r"data\['train'\]"):
        vczoo.read_corpus(datasets.DatasetDict({"train": data}))
    assert len(list((cache / "recordings").iterdir())) == len(paths)
