"""The other tabs in a real browser: a voice is made and tuned, compared blindly, and prepared for sharing."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.test_convert import convert, upload

LONG = 600_000  # ms; measuring models load before the first epoch


@pytest.fixture
def clips(voices_folder: Path) -> list[Path]:
    """Six utterances of one synthetic speaker."""
    return sorted((voices_folder / "bob").iterdir())


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def add_clips(page: Any, *clips: Path) -> None:
    """Upload clips, and wait until the table has them."""
    tab(page, "Make a voice")
    page.locator("#clip-files input[type=file]").set_input_files([str(clip) for clip in clips])
    page.locator("#clips").get_by_text(re.compile(f"{len(clips)} clips?")).first.wait_for()
    page.get_by_label("This is my voice").check()


def error_of(page: Any) -> str:
    toast = page.locator(".toast-body").last
    toast.wait_for()
    return str(toast.inner_text())


def test_a_voice_is_enrolled_tuned_with_moving_curves_compared_and_checked_for_sharing(
    open_page: OpenPage, clips: list[Path], voices_folder: Path
) -> None:
    page = open_page()
    add_clips(page, *clips)
    assert "0.wav" in page.locator("#clips").inner_text()
    page.get_by_label("Name of the voice").fill("bob")
    page.get_by_role("button", name="Enroll now").click()
    page.locator("#enrolled").get_by_text("bob is enrolled").wait_for()

    page.get_by_label("Low-rank changes").check()
    page.get_by_label("Epochs").fill("12")
    page.get_by_role("button", name="Tune", exact=True).click()
    curves = page.locator("#tuning .vz-curves")
    curves.wait_for(timeout=LONG)
    first = curves.get_attribute("aria-label")
    page.locator("#tuning").get_by_text("Finished: 12 epochs").wait_for(timeout=LONG)
    assert first != curves.get_attribute("aria-label")
    assert "Curves of 12 epochs" in (curves.get_attribute("aria-label") or "")
    page.locator("#tuning").get_by_text(re.compile("Stop here|Still improving")).wait_for()
    page.get_by_role("link", name="Download the run").wait_for()

    tab(page, "Compare")
    upload(page, voices_folder / "alice" / "1.wav", "#sentence")
    page.locator("#sentence #waveform").wait_for()
    for name in ("bob tuned", "bob", "man-1"):
        page.locator("#systems").get_by_label(name, exact=True).check()
    page.get_by_role("button", name="Convert with each").click()
    page.locator("#compared audio").nth(2).wait_for()
    for number in range(2):
        page.get_by_role("button", name="Next trial").click()
        page.get_by_label(f"Trial {number + 1}").locator("audio").nth(2).wait_for()
        sources = [audio.get_attribute("src") for audio in page.locator("#trial audio").all()]
        assert len(set(sources)) == 3
        page.get_by_role("button", name="X is A").click()
        page.locator("#trial").get_by_text(re.compile("Right|Wrong")).wait_for()
    assert "95% interval" in page.locator("#score").inner_text()
    link = page.get_by_role("link", name="Download the answers")
    table = page.request.get(page.evaluate("(a) => a.href", link.element_handle())).text()
    assert [row["answer"] for row in csv.DictReader(io.StringIO(table))] == ["A", "A"]

    tab(page, "Share")
    page.get_by_label("Repository on the Hub").fill("me/bob")
    page.get_by_role("button", name="Dry run").click()
    assert "by which right" in error_of(page)
    page.get_by_role("radio", name=re.compile("synthetic: ")).check()
    page.get_by_role("button", name="Dry run").click()
    page.locator("#share-outcome").get_by_text("nothing was uploaded").wait_for()
    card = page.get_by_label("Model card").input_value()
    assert card.startswith("---\n")
    assert "bob tuned" in card


def test_a_training_is_stopped_survives_a_lost_connection_and_resumes(open_page: OpenPage, clips: list[Path]) -> None:
    page = open_page()
    add_clips(page, *clips)
    page.get_by_label("Epochs").fill("60")
    page.get_by_role("button", name="Tune", exact=True).click()
    page.locator("#tuning .vz-curves").wait_for(timeout=LONG)
    page.context.set_offline(True)
    page.wait_for_timeout(3000)
    page.context.set_offline(False)
    page.reload()
    page.get_by_role("button", name="Convert", exact=True).wait_for()
    tab(page, "Make a voice")
    page.locator("#tuning .vz-curves").wait_for()
    assert "0.wav" in page.locator("#clips").inner_text()
    page.get_by_role("button", name="Stop", exact=True).last.click()
    page.locator("#tuning").get_by_text("Stopped: epoch").wait_for()
    stopped = int(re.findall(r"epoch (\d+) of", page.locator("#tuning").inner_text())[0])
    page.get_by_role("button", name="Resume", exact=True).last.click()
    page.wait_for_function(
        "(done) => +(document.querySelector('#tuning').innerText.match(/epoch (\\d+) of/) || [0, 0])[1] > done",
        arg=stopped,
        timeout=LONG,
    )
    page.get_by_role("button", name="Stop", exact=True).last.click()
    page.locator("#tuning").get_by_text("Stopped: epoch").wait_for()


def test_nothing_is_made_without_consent_or_clips(open_page: OpenPage, speech: Path) -> None:
    page = open_page()
    tab(page, "Make a voice")
    page.get_by_role("button", name="Enroll now").click()
    assert "tick the box first" in error_of(page)
    page.get_by_label("This is my voice").check()
    page.get_by_role("button", name="Tune", exact=True).click()
    page.locator(".toast-body").get_by_text("there is no clip yet").wait_for()


def test_one_visitors_voice_is_not_anothers(open_page: OpenPage, speech: Path) -> None:
    first, second = open_page(), open_page()
    add_clips(first, speech)
    first.get_by_label("Name of the voice").fill("secret name")
    first.get_by_role("button", name="Enroll now").click()
    first.locator("#enrolled").get_by_text("secret name is enrolled").wait_for()
    for page in (second, open_page()):
        page.reload()
        page.get_by_role("button", name="Convert", exact=True).wait_for()
        page.locator("#voice input").click()
        page.get_by_role("option", name="man-1", exact=True).wait_for()
        assert page.get_by_role("option", name="secret name").count() == 0
    tab(first, "Convert")
    upload(first, speech)
    first.locator("#result").wait_for(state="attached")
    convert(first)
    assert "B: converted to secret name" in first.locator("#result").inner_text()


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_page(open_page: OpenPage, width: int, clips: list[Path]) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    add_clips(page, *clips)
    for name in ("Convert", "Make a voice", "Compare", "Share"):
        if page.get_by_role("tab", name=name).is_visible():
            tab(page, name)
        else:
            page.get_by_role("button", name="More tabs").click()
            page.get_by_role("button", name=name, exact=True).last.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
