"""Folders and single recordings: what is listed, what is passed over, and what wildcards name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vczoo.audio.reader import SoundReader
from vczoo.audio.waveform import Waveform
from vczoo.audio.writer import WRITE_SUFFIXES
from vczoo.cli.sources import expand_sources
from vczoo.conversion.outputs import pair_folder
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
    with pytest.raises(AudioError, match="no sound file matches"):
        expand_recordings([f"{voices}/*/*.aac"], [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="empty: no recording is in this folder"):
        expand_recordings([tmp_path / "empty"], [])


def test_a_folder_that_matches_a_wildcard_means_all_below_it(tmp_path: Path, tone) -> None:
    voices = people(tmp_path / "voices", tone)
    deep = tone(voices / "ann" / "day2" / "x.wav")
    assert expand_recordings([f"{tmp_path}/v*"], []) == expand_recordings([voices], [])
    assert deep in expand_sources([f"{tmp_path}/v*"])
    assert expand_sources([f"{voices}/*/*"]) == expand_recordings([f"{voices}/*/*"], [])


def nested(folder: Path, depth: int) -> Path:
    """Folders inside each other, deeper than a path may be long."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    return folder


def test_folders_nested_too_deep_are_an_error(tmp_path: Path) -> None:
    speaker = nested(tmp_path / "voices", 1500)
    try:
        with pytest.raises(CorpusError, match="its folders are nested more than 100 deep"):
            read_corpus(tmp_path)
        with pytest.raises(AudioError, match="nested more than 100 deep"):
            expand_recordings([speaker], [])
        with pytest.raises(AudioError, match="nested more than 100 deep"):
            pair_folder(tmp_path, tmp_path / "out", ".wav")
        with pytest.raises(AudioError, match="nested too deep"):
            expand_recordings([f"{speaker}/**/*.wav"], [])
    finally:
        remove_nested(speaker)


def remove_nested(folder: Path) -> None:
    """Remove nested folders. shutil.rmtree recurses, too."""
    while (folder / "d").exists():
        inner = folder.parent / "inner"
        (folder / "d").rename(inner)
        folder.rmdir()
        inner.rename(folder)
    folder.rmdir()


@pytest.mark.parametrize("denied", ["voices", "ann"])
def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, tone, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    voices = people(tmp_path / "voices", tone)
    scandir = os.scandir

    def refuse(folder: Path) -> object:  # root may list anything, so the mode bits would not do
        if Path(folder).name == denied:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CorpusError, match=rf"{denied}: cannot be listed \(Permission denied\)"):
        read_corpus(voices)
    with pytest.raises(AudioError, match=r"cannot be listed \(Permission denied\)"):
        expand_recordings([voices], [])


def test_a_folder_whose_files_cannot_be_entered_skips_them(
    tmp_path: Path, tone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may be listed but not entered, as one without the permission x."""
    voices = people(tmp_path / "voices", tone)
    people(tmp_path / "voices" / "bob", tone)
    stat = os.stat

    def refuse(path: object, **options: object) -> object:
        if "bob" in str(path) and str(path).endswith((".wav", ".flac", ".txt")):
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(CorpusError, match=r"no usable recording of 'bob':\s+.*cannot be read \(Permission denied\)"):
        read_corpus(voices)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_pipes_and_devices_beside_and_among_recordings_do_not_block(tmp_path: Path, tone) -> None:
    voices = people(tmp_path / "voices", tone)
    os.mkfifo(voices / "ann" / "0.txt")
    (voices / "ann" / "1.txt").symlink_to("/dev/zero")
    (voices / "ann" / "2.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\xff")
    os.mkfifo(voices / "ann" / "pipe.wav")
    corpus = read_corpus(voices)
    assert [utterance.text for utterance in corpus.utterances] == ["", "", "one\ntwo\ufffd", ""]
    assert [skipped.reason for skipped in corpus.skipped] == [
        "a pipe or a device, but a recording was expected; save it to a file first"
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_or_a_device_as_manifest_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    (tmp_path / "b.jsonl").symlink_to("/dev/zero")
    for name in ("a.csv", "b.jsonl"):
        with pytest.raises(CorpusError, match=rf"{name}: cannot be read \(not a regular file\)"):
            read_corpus(tmp_path / name)


def test_a_manifest_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("path,speaker\n")
    monkeypatch.setattr("vczoo.data.manifest.LARGEST_MANIFEST", 5)
    with pytest.raises(CorpusError, match=r"a\.csv: more than 0 MB; split it"):
        read_corpus(tmp_path / "a.csv")


def test_only_one_long_recording_is_in_memory_at_a_time(tmp_path: Path, tone, monkeypatch: pytest.MonkeyPatch) -> None:
    voices = people(tmp_path / "voices", tone)
    monkeypatch.setattr("vczoo.data.decoding.UNUSUAL_SECONDS", 0.1)
    decode, at_once, most = Waveform.decode, 0, 0

    def counted(reader: SoundReader) -> Waveform:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        wave = decode(reader)
        at_once -= 1
        return wave

    monkeypatch.setattr(Waveform, "decode", counted)
    assert len(read_corpus(voices).utterances) == 4
    assert most == 1


def test_too_long_a_recording_is_skipped(tmp_path: Path, tone, monkeypatch: pytest.MonkeyPatch) -> None:
    voices = people(tmp_path / "voices", tone)
    tone(voices / "ann" / "long.wav", seconds=2.0)
    monkeypatch.setattr("vczoo.audio.limits.MOST_SAMPLES", 20_000)
    corpus = read_corpus(voices)
    assert [skipped.path.name for skipped in corpus.skipped] == ["long.wav"]
    assert corpus.skipped[0].reason.startswith("too long to be read as a whole")
