"""A served page and a headless Chromium with a microphone that plays a file. Skipped where no browser is."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.deadline import browser_processes, killed_after
from tests.support.served_page import BROWSERS, Served, find_browser

HERE = Path(__file__).parent
# Some calls of Playwright, as `evaluate` and `close`, wait without an end for a browser that does not answer.
SECONDS_TO_TEST, SECONDS_TO_CLOSE = 1000, 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def speech(voices_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of one synthetic speaker, 16 kHz."""
    parts = [soundfile.read(file)[0] for file in sorted((voices_folder / "bob").iterdir())]
    silence = np.zeros(4800)
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    soundfile.write(path, np.concatenate([sound for part in parts for sound in (part, silence)]), 16000)
    return path


# Of a module, as is the browser: other tests should have neither a running event loop nor a gigabyte less of memory.
@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page, served on this machine."""
    page = Served(Path(tempfile.mkdtemp(prefix="ui-")) / "tmp")
    try:
        yield page
    finally:
        page.end()
        shutil.rmtree(page.folder.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def browser(speech: Path) -> Iterator[Any]:
    """Headless Chromium, whose microphone plays `speech`."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright")
    program = find_browser()
    if program is None:
        pytest.skip(f"the browser tests need one of {', '.join(BROWSERS)}: apt-get install chromium")
    options = [
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={speech}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    driver = playwright.sync_playwright().start()
    try:
        chromium = driver.chromium.launch(executable_path=program, args=options)
        yield chromium
    finally:
        with killed_after(SECONDS_TO_CLOSE, browser_processes):
            driver.stop()  # closes the browser, too


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any, served: Served) -> Iterator[OpenPage]:
    """Open the page as a new visitor; the test fails if it loads anything from another host."""
    contexts: list[Any] = []
    outside: list[str] = []

    def visit(url: str = "", **options: Any) -> Any:
        context = browser.new_context(permissions=["microphone"], accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(300_000)  # ms; a guard, not a limit of speed
        address = url or served.url
        host = "/".join(address.split("/")[:3])

        def note(request: Any) -> None:
            if not request.url.startswith((host, "data:", "blob:")):
                outside.append(request.url)

        page.on("request", note)
        with page.expect_response(re.compile("gradio_api/(run|queue)")):
            page.goto(address)
        page.get_by_role("button", name="Convert", exact=True).wait_for()
        return page

    with killed_after(SECONDS_TO_TEST, browser_processes):
        yield visit
        for context in contexts:
            context.close()
    assert outside == []
