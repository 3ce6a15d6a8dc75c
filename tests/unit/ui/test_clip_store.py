from __future__ import annotations

from pathlib import Path

import pytest

import vczoo
from vczoo.ui.bounds import Bounds
from vczoo.ui.clip_store import add_clips, clear_clips, clips_of
from vczoo.ui.sessions import Session


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session("token", tmp_path / "session")


@pytest.fixture(scope="module")
def converter(made_run: Path) -> vczoo.Converter:
    return vczoo.load(made_run, device="cpu")


def test_good_clips_are_added_and_faulty_ones_named(
    session: Session, converter: vczoo.Converter, voices_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "letter.wav").write_text("no sound")
    clips = [voices_folder / "alice" / "0.wav", tmp_path / "letter.wav", voices_folder / "alice" / "1.wav"]
    faults = add_clips(session, converter, clips, Bounds())
    assert len(faults) == 1
    assert "letter.wav" in faults[0]
    worth, remarks = clips_of(session)
    assert [clip.name for clip in worth] == ["0.wav", "1.wav"]
    assert "s of speech" in remarks[0]
    assert sorted(path.name for path in session.folder.iterdir()) == ["clip-01-0.wav", "clip-02-1.wav"]


def test_clips_are_bounded_in_number_and_length(
    session: Session, converter: vczoo.Converter, voices_folder: Path
) -> None:
    clips = [voices_folder / "alice" / f"{number}.wav" for number in range(3)]
    assert "a voice has at most 2 clips here" in add_clips(session, converter, clips, Bounds(clips=2))[0]
    clear_clips(session)
    assert "takes at most" in add_clips(session, converter, clips[:2], Bounds(clips_seconds=0.8))[0]


def test_clips_are_removed_with_their_files(session: Session, converter: vczoo.Converter, voices_folder: Path) -> None:
    add_clips(session, converter, [voices_folder / "bob" / "0.wav"], Bounds())
    clear_clips(session)
    assert clips_of(session) == ([], [])
    assert list(session.folder.iterdir()) == []
