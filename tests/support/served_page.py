"""A page that `vczoo ui` serves in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx2

SECONDS_TO_START, SECONDS_TO_END = 180, 60
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    """The path of the first of `BROWSERS` that is installed."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Served:
    """A page that `vczoo ui` serves in a process of its own.

    Args:
        folder: The folder for temporary files that its working folder is in.
        options: Further options of the command.
        offline: Whether it may not talk to a Hub.

    Attributes:
        url: Its address.
        folder: The folder for temporary files that its working folder is in.
    """

    def __init__(self, folder: Path, *options: str, offline: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder.parent / f"{folder.name}.log"
        environment = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
        if offline:
            environment["HF_HUB_OFFLINE"] = "1"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vczoo", "ui", "--port", "0", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self.url = self._address()

    def _address(self) -> str:
        for _ in range(SECONDS_TO_START * 10):
            if match := re.search(r"open (\S+) in a browser", self.log.read_text()):
                return match[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.kill()
        raise AssertionError(f"the page was not served:\n{self.log.read_text()}")

    @property
    def working_folder(self) -> Path:
        """The server's working folder."""
        (folder,) = self.folder.glob("vczoo-ui-*")
        return folder

    def end(self) -> int:
        """End the server as a service manager does, and return its exit status.

        Raises:
            AssertionError: It did not end, and was killed.
        """
        self.process.terminate()
        try:
            return self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the page did not end within {SECONDS_TO_END} s:\n{self.log.read_text()}") from None

    def kill(self) -> None:
        """Kill the server."""
        self.process.kill()
        self.process.wait(SECONDS_TO_END)


def open_visit(client: httpx2.Client, page: str, token: str = "") -> str:
    """Open a page as its script does, and return the session's token.

    Args:
        client: A client of the server.
        page: Gradio's name of the page, which its script draws.
        token: What the browser remembers; "" for a new visitor.
    """
    functions = client.get("/config").json()["dependencies"]
    load = next(function["id"] for function in functions if any(event[1] == "load" for event in function["targets"]))
    body = {"data": [token], "fn_index": load, "session_hash": page}
    answer = client.post("/gradio_api/run/predict", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"][1])
