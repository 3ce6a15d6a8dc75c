"""Sessions of a served page: what belongs to one visitor, in a folder that nobody else can guess.

A session is found by a secret token that the visitor's browser keeps, so a page that lost its connection or was loaded
again finds its files. It ends some time after its last page was closed, and its files with it.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from vczoo.errors import VczooError

__all__ = ["Session", "SessionStore"]

SWEEP_SECONDS = 20.0


class Session:
    """What belongs to one visitor.

    Args:
        token: The secret that finds the session.
        folder: Its folder, which is created.

    Attributes:
        pages: The open pages of the visitor.
        values: What the tabs keep, by their names.
        busy: Returns whether work goes on that the session has to outlive, as a fine-tune.
        closing: Called, in order, before the files are removed.
        lock: Held while a tab changes `values`.
    """

    def __init__(self, token: str, folder: Path) -> None:
        self.token, self.folder = token, folder
        self.pages: set[str] = set()
        self.left_at: float | None = None
        self.uploads: set[Path] = set()
        self.values: dict[str, Any] = {}
        self.busy: Callable[[], bool] = lambda: False
        self.closing: list[Callable[[], None]] = []
        self.lock = threading.RLock()
        folder.mkdir(parents=True, mode=0o700)

    def new_file(self, suffix: str) -> Path:
        """Return a path for a new file, with a name that says nothing and cannot be guessed."""
        return self.folder / f"{secrets.token_hex(16)}{suffix}"

    def forget_older(self, kind: str, files: Iterable[Path], most: int = 10) -> None:
        """Note the files of a result, and delete those of all but the last `most` results of that kind."""
        with self.lock:
            results: list[list[Path]] = self.values.setdefault(f"results: {kind}", [])
            results.append(list(files))
            while len(results) > most:
                for file in results.pop(0):
                    file.unlink(missing_ok=True)

    def end(self) -> None:
        """End the work of the session, and delete its files."""
        for close in self.closing:
            with suppress(Exception):  # the others, and the files, have to go all the same
                close()
        for path in self.uploads:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_folder(self) -> Path:
        """Create a folder with such a name."""
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder


class SessionStore:
    """The sessions of a server.

    Args:
        folder: The server's working folder.
        most: The most sessions at once.
        grace_seconds: How long a session without a page is kept.
        clock: Seconds that only grow.
    """

    def __init__(
        self, folder: Path, most: int, grace_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.most, self.grace_seconds, self.clock = folder, most, grace_seconds, clock
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def open(self, token: str, page: str) -> Session:
        """Return the session of a token, or a new one, and note that a page of it is open.

        Raises:
            VczooError: There are too many sessions.
        """
        self.sweep()
        with self._lock:
            session = self._sessions.get(token)
            if session is None:
                if len(self._sessions) >= self.most:
                    raise VczooError(
                        f"this page already has {self.most} visitors, which is all that it takes; try again later"
                    )
                session = Session(secrets.token_urlsafe(32), self.folder / secrets.token_hex(16))
                self._sessions[session.token] = session
            session.pages.add(page)
            session.left_at = None
            return session

    def find(self, token: str) -> Session:
        """Return the session of a token.

        Raises:
            VczooError: It has ended.
        """
        with self._lock:
            session = self._sessions.get(token)
        if session is None:
            raise VczooError("this visit has ended, and its files are deleted; reload the page to begin another")
        return session

    def leave(self, page: str) -> None:
        """Note that a page was closed or lost its connection."""
        with self._lock:
            for session in self._sessions.values():
                if page in session.pages:
                    session.pages.discard(page)
                    session.left_at = None if session.pages else self.clock()

    def claim(self, session: Session, path: Path) -> Path:
        """Note that an uploaded file belongs to a session, so that it is deleted with it; return the path."""
        with self._lock:
            session.uploads.add(path)
        return path

    def sweep(self) -> None:
        """End the sessions whose last page is gone for longer than the grace period."""
        now = self.clock()
        with self._lock:
            over = []
            for session in self._sessions.values():
                if session.left_at is None or session.pages:
                    continue
                if session.busy():
                    session.left_at = now
                elif now - session.left_at >= self.grace_seconds:
                    over.append(session)
            self._forget(over)
        for session in over:
            session.end()

    def keep_sweeping(self) -> None:
        """Sweep every few seconds until `close`, in a thread of its own."""

        def run() -> None:
            while not self._ended.wait(SWEEP_SECONDS):
                self.sweep()

        threading.Thread(target=run, name="vczoo-ui-sessions", daemon=True).start()

    def close(self) -> None:
        """End all sessions."""
        self._ended.set()
        with self._lock:
            over = list(self._sessions.values())
            self._forget(over)
        for session in over:
            session.end()

    def _forget(self, over: Iterable[Session]) -> None:
        """Take sessions out of the list, and leave them the uploads that nobody else has."""
        for session in over:
            del self._sessions[session.token]
        # Gradio keeps equal uploads of two visitors as one file.
        others = {path for session in self._sessions.values() for path in session.uploads}
        for session in over:
            session.uploads -= others
