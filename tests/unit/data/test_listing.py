"""Folders and single recordings: what is listed, what is passed over, and what wildcards name."""

from __future__ import annotations

from pathlib import Path

import pytest

from vczoo.audio.writer import WRITE_SUFFIXES
from vczoo.data.corpus_reader import read_corpus
from vczoo.data.listing import expand_recordings
from vczoo.errors import AudioError, CorpusError


def people(folder: Path, tone) -> Path:
    for number in range(4):
        tone(folder / "ann" / f"{number}{WRITE_SUFFIXES[number % 2]}", hz=200 + 50 * number)
    return folder


def test_a_folder_counts_and_names_the_files_that_it_passes_over(tmp_path: Path, tone) -> None:
    voices = people(tmp_path / "voices", tone)
    (voices / "README").write_text("x")
    (voices / "ann" / "0.txt").write_text("a transcript is read")
    (voices / "ann" / "notes.txt").write_text("x")
    (voices / "ann" / ".hidden.txt").write_text("x")
    (voices / "ann" / "day2").mkdir()
    (voices / "ann" / "day2" / "x.xyz").write_text("x")
    note = "passed over 3 files, not audio that vczoo reads: README, ann/day2/x.xyz, ann/notes.txt"
    corpus = read_corpus(voices)
    assert corpus.notes == (note,)
    assert corpus.report().splitlines()[-1] == note
    for number in range(9):
        (voices / "ann" / f"z{number}.xyz").write_text("x")
    assert read_corpus(voices).notes[0].startswith("passed over 12 files")
    assert read_corpus(voices).notes[0].endswith("ann/z0.xyz, ann/z1.xyz and 7 more")


def test_a_folder_without_a_recording_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "0.xyz").write_text("x")
    with pytest.raises(CorpusError, match=r"no recording in[\s\S]*passed over 1 file, .*: ann/0\.xyz"):
        read_corpus(tmp_path)


def test_single_recordings_and_a_flat_folder_are_of_the_speaker_that_is_named(tmp_path: Path, tone) -> None:
    flat = [tone(tmp_path / "flat" / f"{number}.wav", hz=200 + 50 * number) for number in range(4)]
    voices = people(tmp_path / "voices", tone)
    for data in (flat, tmp_path / "flat"):
        corpus = read_corpus(data, speaker="me")
        assert [u.path for u in corpus.utterances] == flat
        assert corpus.speakers == ("me",)
    assert read_corpus([voices, *flat], speaker="me").speakers == ("ann", "me")


def test_a_recording_needs_a_speaker_and_a_speaker_a_recording(tmp_path: Path, tone) -> None:
    voices = people(tmp_path / "voices", tone)
    with pytest.raises(CorpusError, match=r"0\.wav: whose recording is this"):
        read_corpus(voices / "ann" / "0.wav")
    with pytest.raises(CorpusError, match="no recording for the voice 'me': that name is for single recordings"):
        read_corpus(voices, speaker="me")
    with pytest.raises(CorpusError, match="holds a slash"):
        read_corpus(voices / "ann" / "0.wav", speaker="a/b")


def test_folders_and_wildcards_are_expanded(tmp_path: Path, tone) -> None:
    voices = people(tmp_path / "voices", tone)
    (voices / "ann" / "notes.txt").write_text("x")
    odd = tone(tmp_path / "odd[1].wav")
    inside = [voices / "ann" / name for name in ("0.wav", "1.flac", "2.wav", "3.flac")]
    passed_over: list[str] = []
    assert expand_recordings([voices, voices / "ann" / "0.wav", odd], passed_over) == [*inside, odd]
    assert passed_over == [str(voices / "ann" / "notes.txt")]
    assert expand_recordings([f"{voices}/*/*.wav"], []) == inside[::2]
    assert expand_recordings([tmp_path / "gone.wav"], []) == [tmp_path / "gone.wav"]  # the reader reports it
    with pytest.raises(AudioError, match="no file matches"):
        expand_recordings([f"{voices}/*/*.aac"], [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="empty: the folder holds no recording"):
        expand_recordings([tmp_path / "empty"], [])
