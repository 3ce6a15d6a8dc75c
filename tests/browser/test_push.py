"""A push from the tab "Share" in a real browser, to the Hub on this machine."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.test_make_compare_share import add_clips, error_of, tab
from tests.support.hub.server import HubServer
from tests.support.served_page import Served


@pytest.fixture
def served(hub: HubServer) -> Iterator[Served]:
    """The page, logged in to the Hub as `me`."""
    page = Served(Path(tempfile.mkdtemp(prefix="ui-")) / "tmp", offline=False)
    try:
        yield page
    finally:
        page.end()
        shutil.rmtree(page.folder.parent, ignore_errors=True)


def test_a_voice_is_pushed_once_the_right_to_share_it_is_stated(
    open_page: OpenPage, hub: HubServer, voices_folder: Path
) -> None:
    page = open_page()
    add_clips(page, *sorted((voices_folder / "bob").iterdir()))
    page.get_by_label("Name of the voice").fill("bob")
    page.get_by_role("button", name="Enroll now").click()
    page.locator("#enrolled").get_by_text("bob is enrolled").wait_for()

    tab(page, "Share")
    page.get_by_label("Repository on the Hub").fill("me/bob")
    push = page.get_by_role("button", name="Push to the Hub")
    push.click()
    assert "by which right" in error_of(page)
    assert not [request for request in hub.requests if request.method == "POST"]

    page.get_by_role("radio", name=re.compile("synthetic: ")).check()
    push.click()
    outcome = page.locator("#share-outcome").get_by_text("Published: ")
    outcome.wait_for()
    repository = hub.repo("me/bob")
    assert f"commit {repository.head.oid[:12]}" in outcome.inner_text()
    assert {"README.md", "vczoo.yaml", "model.safetensors", "voices.safetensors"} <= set(repository.head.files)
    assert repository.private
    card = page.get_by_label("Model card").input_value()
    assert "bob" in card
    assert "no voice in this model is a real person's" in card
