"""The tab "Convert" in a real browser."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import soundfile

import vczoo
from tests.browser.conftest import OpenPage
from tests.support.served_page import Served


def upload(page: Any, path: Path, where: str = "#source") -> None:
    """Choose a file in an upload area."""
    box = page.locator(where)
    if where == "#source":
        box.get_by_role("button", name="Upload file").click()
    box.locator("input[type=file]").set_input_files(str(path))


def convert(page: Any) -> Any:
    """Convert, and return the player of the result."""
    page.get_by_role("button", name="Convert", exact=True).click()
    player = page.locator("#result audio[data-key=b]")
    player.wait_for()
    return player


def file_of(page: Any, player: Any) -> bytes:
    """What a player plays."""
    response = page.request.get(page.evaluate("(audio) => audio.src", player.element_handle()))
    assert response.ok
    return bytes(response.body())


def test_an_upload_is_converted_played_and_downloaded(open_page: OpenPage, speech: Path, tmp_path: Path) -> None:
    page = open_page()
    upload(page, speech)
    page.locator("#source").get_by_text("speech.wav").or_(page.locator("#source #waveform")).first.wait_for()
    player = convert(page)
    page.wait_for_function("(audio) => audio.currentTime > 0.2", arg=player.element_handle())
    (tmp_path / "result.wav").write_bytes(file_of(page, player))
    mark = vczoo.read_mark(tmp_path / "result.wav")
    assert mark is not None
    assert list(mark.shares) == ["woman-1"]
    length = soundfile.info(speech).duration
    assert abs(soundfile.info(tmp_path / "result.wav").duration - length) < 0.1
    with page.expect_download() as download:
        page.locator("#result").get_by_role("link", name=re.compile("Download")).click()
    assert download.value.suggested_filename == "speech-as-woman-1.wav"
    page.get_by_role("img", name=re.compile("Mel spectrograms")).wait_for()


def test_keys_switch_between_source_and_result(open_page: OpenPage, speech: Path) -> None:
    page = open_page()
    upload(page, speech)
    result = convert(page)
    page.wait_for_function("(audio) => audio.currentTime > 0.3", arg=result.element_handle())
    page.locator(".vz-keys-on").focus()
    page.keyboard.press("a")
    source = page.locator("#result audio[data-key=a]")
    page.wait_for_function("(audio) => !audio.paused && audio.currentTime > 0.3", arg=source.element_handle())
    assert page.evaluate("(audio) => audio.paused", result.element_handle())
    page.keyboard.press(" ")  # the box is no longer ticked, so keys do nothing
    page.keyboard.press("b")
    assert page.evaluate("(audio) => audio.paused", result.element_handle())


def test_a_recording_is_converted_in_three_clicks(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Record", exact=True).first.click()
    page.wait_for_timeout(1500)
    page.locator("#source").get_by_role("button", name="Stop", exact=True).click()
    page.locator("#source #waveform").wait_for()
    player = convert(page)
    page.wait_for_function("(audio) => audio.currentTime > 0.1", arg=player.element_handle())


def test_a_batch_is_a_zip_file_and_names_what_failed(open_page: OpenPage, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("these are no sounds")
    page = open_page()
    page.get_by_role("button", name="Several files").click()
    page.locator("#batch input[type=file]").set_input_files([str(speech), str(tmp_path / "notes.wav")])
    page.locator("#batch").get_by_text("notes").wait_for()
    page.get_by_role("button", name="Convert all").click()
    link = page.get_by_role("link", name="Download 1 file")
    link.wait_for()
    assert "notes.wav" in page.locator("#batch-result").inner_text()
    content = page.request.get(page.evaluate("(a) => a.href", link.element_handle())).body()
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["01-speech.wav"]


def test_faulty_uploads_are_sentences(open_page: OpenPage, speech: Path, tmp_path: Path) -> None:
    page = open_page()
    (tmp_path / "letter.wav").write_text("Dear page, this is not a sound. " * 50)
    upload(page, tmp_path / "letter.wav")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Convert", exact=True).click()
    toast = page.locator(".toast-body").first
    toast.wait_for()
    assert "letter.wav" in toast.inner_text()
    assert "Traceback" not in toast.inner_text()
    assert str(Path("/tmp")) not in toast.inner_text()


def test_a_file_too_long_is_refused(open_page: OpenPage, tmp_path: Path, speech: Path) -> None:
    samples, rate_hz = soundfile.read(speech)
    copies = int(130 * rate_hz / len(samples)) + 1
    soundfile.write(tmp_path / "long.flac", [sample for _ in range(copies) for sample in samples], rate_hz)
    page = open_page()
    upload(page, tmp_path / "long.flac")
    page.locator("#source #waveform").wait_for()
    page.get_by_role("button", name="Convert", exact=True).click()
    toast = page.locator(".toast-body").first
    toast.wait_for()
    assert "at most 120 s" in toast.inner_text()


def test_two_visitors_have_nothing_in_common(open_page: OpenPage, speech: Path, served: Served) -> None:
    first, second = open_page(), open_page()
    for page in (first, second):
        upload(page, speech)
    sources = []
    for page in (first, second):
        player = convert(page)
        sources.append(page.evaluate("(audio) => audio.src", player.element_handle()))
    one, two = (source.rpartition("/")[0] for source in sources)
    assert one != two
    assert min(len(folder.rpartition("/")[2]) for folder in (one, two)) >= 32
