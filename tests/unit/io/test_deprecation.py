"""Deprecated parts still work, and warn at the caller's line."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

from tests.unit.registry.test_zoo import FakePoint, Plugin, zoo
from vczoo.cli.app import main
from vczoo.cli.listing import part_rows
from vczoo.errors import PluginError
from vczoo.io.deprecation import VczooDeprecationWarning, warn_at_caller
from vczoo.models import build as assembly
from vczoo.models import part_options as options
from vczoo.registry.entry import Entry
from vczoo.registry.zoo import Zoo

OLD = Entry(
    "odd/old",
    "freezing",
    "vczoo.modules.freezing.stages:Partial",
    "as it was",
    "MIT",
    source="odd",
    replaced_by="partial",
)


@pytest.fixture
def old_part(monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """A zoo with a part that has been replaced."""
    registry = zoo(FakePoint("odd", "vczoo-odd", Plugin([OLD])))
    monkeypatch.setattr("vczoo.models.part_options.the_zoo", lambda: registry)
    monkeypatch.setattr("vczoo.cli.listing.the_zoo", lambda: registry)
    monkeypatch.setattr(options, "_warned", set())
    return registry


def test_a_warning_points_to_the_callers_line() -> None:
    with pytest.warns(VczooDeprecationWarning) as caught:
        warn_at_caller("`pitch` is deprecated; use `semitones`")  # the caller's line
    assert [str(warning.message) for warning in caught] == ["`pitch` is deprecated; use `semitones`"]
    assert caught[0].filename == __file__
    assert "the caller's line" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]


def test_a_recipe_with_an_old_part_works_and_warns_once(old_part: Zoo) -> None:
    with pytest.warns(VczooDeprecationWarning) as caught:
        recipe = assembly.checked_recipe("demo", ["freezing={use: odd/old, trainable_stages: 1}"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", VczooDeprecationWarning)
        assert assembly.build_freezing(recipe).multipliers(3, 0) == (0.0, 0.0, 1.0)
    assert [str(warning.message) for warning in caught] == [
        "freezing 'odd/old' is replaced by 'partial'; write `use: partial`"
    ]
    assert caught[0].filename == __file__


def test_a_recipe_without_one_does_not(old_part: Zoo) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", VczooDeprecationWarning)
        assembly.checked_recipe("demo", ["freezing={use: partial, trainable_stages: 1}"])


def test_the_command_line_says_it_in_a_line(
    old_part: Zoo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["vczoo", "check", "demo", "freezing={use: odd/old, trainable_stages: 1}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().err == "warning: freezing 'odd/old' is replaced by 'partial'; write `use: partial`\n"


def test_listings_mark_an_old_part(old_part: Zoo) -> None:
    assert [row["what"] for row in part_rows("freezing", "odd/*")] == ["as it was (replaced by partial)"]
    assert not any("replaced by" in row["what"] for row in part_rows("all") if row["part"] != "odd/old")


def test_a_part_is_not_replaced_by_itself() -> None:
    with pytest.raises(PluginError, match="replaced_by is its own name; name another part"):
        Entry("odd/old", "freezing", "odd:old", "as it was", "MIT", replaced_by="odd/old")
    with pytest.raises(PluginError, match="replaced_by is 3, expected text"):
        Entry("odd/old", "freezing", "odd:old", "as it was", "MIT", replaced_by=3)  # type: ignore[arg-type]
