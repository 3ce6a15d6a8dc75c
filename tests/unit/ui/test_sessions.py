from __future__ import annotations

from pathlib import Path

import pytest

from vczoo.errors import VczooError
from vczoo.ui.sessions import SessionStore


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> SessionStore:
    return SessionStore(tmp_path, most=3, grace_seconds=60.0, clock=clock)


def test_a_visitor_is_known_by_its_token_alone(store: SessionStore) -> None:
    first, second = store.open("", "page 1"), store.open("", "page 2")
    assert first is not second
    assert first.folder != second.folder
    assert store.open(first.token, "page 3") is first
    assert store.open("guess", "page 4") not in (first, second)
    with pytest.raises(VczooError, match="this visit has ended"):
        store.find("guess")


def test_names_of_folders_and_files_cannot_be_guessed_and_tell_no_token(store: SessionStore) -> None:
    session = store.open("", "page")
    assert len(session.token) >= 32
    assert len(session.folder.name) == 32
    assert session.token not in str(session.new_file(".wav"))
    assert len(session.new_file(".wav").stem) == 32
    assert session.folder.stat().st_mode & 0o077 == 0


def test_only_the_last_results_are_kept(store: SessionStore) -> None:
    session = store.open("", "page")
    files = [session.new_file(".wav") for _ in range(4)]
    for file in files:
        file.write_bytes(b"sound")
        session.forget_older("conversion", [file], most=2)
    assert [file.exists() for file in files] == [False, False, True, True]


def test_a_session_and_its_files_end_after_the_grace_period(store: SessionStore, clock: Clock, tmp_path: Path) -> None:
    session = store.open("", "page")
    other = store.open("", "other page")
    session.new_file(".wav").write_bytes(b"sound")
    own, equal = tmp_path / "own.wav", tmp_path / "equal.wav"
    for path in (own, equal):
        path.write_bytes(b"upload")
        store.claim(session, path)
    store.claim(other, equal)
    closed: list[str] = []
    session.closing.append(lambda: closed.append("closed"))
    store.leave("page")
    clock.now = 59.0
    store.sweep()
    assert session.folder.exists()
    clock.now = 60.0
    store.sweep()
    assert closed == ["closed"]
    assert not session.folder.exists()
    assert not own.exists()
    assert equal.exists()
    assert other.folder.exists()


def test_a_page_that_comes_back_keeps_its_session(store: SessionStore, clock: Clock) -> None:
    session = store.open("", "page")
    store.leave("page")
    clock.now = 50.0
    assert store.open(session.token, "page again") is session
    clock.now = 200.0
    store.sweep()
    assert store.find(session.token) is session


def test_a_session_with_two_pages_ends_with_the_last(store: SessionStore, clock: Clock) -> None:
    session = store.open("", "page 1")
    store.open(session.token, "page 2")
    store.leave("page 1")
    clock.now = 100.0
    store.sweep()
    assert store.find(session.token) is session


def test_a_session_waits_for_its_work(store: SessionStore, clock: Clock) -> None:
    session = store.open("", "page")
    session.busy = lambda: True
    store.leave("page")
    clock.now = 100.0
    store.sweep()
    session.busy = lambda: False
    clock.now = 159.0
    store.sweep()
    assert store.find(session.token) is session
    clock.now = 160.0
    store.sweep()
    assert not session.folder.exists()


def test_there_are_only_so_many_sessions(store: SessionStore) -> None:
    for number in range(3):
        store.open("", f"page {number}")
    with pytest.raises(VczooError, match="already has 3 visitors"):
        store.open("", "page 4")


def test_the_end_of_the_server_ends_all(store: SessionStore, tmp_path: Path) -> None:
    session = store.open("", "page")

    def fail() -> None:
        raise OSError("no process")

    session.closing.append(fail)
    store.close()
    assert list(tmp_path.iterdir()) == []
