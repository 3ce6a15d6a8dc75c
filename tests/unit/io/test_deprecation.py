"""What is old still works, and says at the caller's line what replaces it."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

import vczoo
import vczoo.testing
from tests.unit.registry.test_zoo import FakePoint, Plugin, zoo
from vczoo.cli.app import main
from vczoo.cli.listing import part_rows
from vczoo.errors import PluginError
from vczoo.io import deprecation
from vczoo.io.deprecation import Renamed, VczooDeprecationWarning, warn_deprecated
from vczoo.models import build as assembly
from vczoo.models import part_options as options
from vczoo.registry.entry import Entry
from vczoo.registry.zoo import Zoo

OLD = Entry(
    "odd/old", "freezing", "vczoo.modules.freezing:Partial", "as it was", "MIT", source="odd", replaced_by="partial"
)


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(deprecation.RENAMED, "vczoo.tune", Renamed("finetune", since="0.3", until="0.5"))
    monkeypatch.setitem(deprecation.RENAMED, "vczoo.testing.cases", Renamed("conformance_tests", "0.3", "0.5"))
    monkeypatch.setitem(deprecation.RENAMED, "vczoo.testing.check", Renamed("check_entry", "0.3", "0.5"))


@pytest.fixture
def old_part(monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """A zoo that has a part by an old name."""
    found = zoo(FakePoint("odd", "vczoo-odd", Plugin([OLD])))
    monkeypatch.setattr("vczoo.models.part_options.the_zoo", lambda: found)
    monkeypatch.setattr("vczoo.cli.listing.the_zoo", lambda: found)
    monkeypatch.setattr(options, "_told", set())
    return found


def test_an_old_public_name_works_and_warns_at_the_callers_line(renamed: None) -> None:
    for _ in range(2):  # it is not kept as an attribute, which would warn once
        with pytest.warns(VczooDeprecationWarning) as told:
            assert vczoo.tune is vczoo.finetune  # the caller's line
        assert [str(one.message) for one in told] == [
            "vczoo.tune is deprecated since vczoo 0.3 and will be gone in 0.5; use vczoo.finetune"
        ]
        assert told[0].filename == __file__
        assert "the caller's line" in Path(__file__).read_text().splitlines()[told[0].lineno - 1]


def test_an_old_name_that_is_imported_warns_at_the_import(renamed: None) -> None:
    with pytest.warns(VczooDeprecationWarning, match=r"vczoo\.tune") as told:
        from vczoo import tune
    assert tune is vczoo.finetune
    assert {one.filename for one in told} == {__file__}


def test_old_names_of_the_testing_module(renamed: None) -> None:
    with pytest.warns(VczooDeprecationWarning, match=r"use vczoo\.testing\.conformance_tests"):
        assert vczoo.testing.cases is vczoo.testing.conformance_tests
    with pytest.warns(VczooDeprecationWarning, match=r"use vczoo\.testing\.check_entry"):
        assert vczoo.testing.check is vczoo.testing.check_entry


def test_what_never_was_a_name_is_none(renamed: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not hasattr(vczoo, "tunes")
        assert not hasattr(vczoo.testing, "tune")


def test_names_that_are_said_to_replace_others_are_there() -> None:
    for old, new in deprecation.RENAMED.items():
        module, _, name = old.rpartition(".")
        public = {"vczoo": vczoo.__all__, "vczoo.testing": vczoo.testing.__all__}[module]
        assert new.today in public
        assert name not in public


def test_an_old_argument_is_told_in_the_functions_body() -> None:
    with pytest.warns(VczooDeprecationWarning) as told:
        warn_deprecated("convert's `pitch`", "`semitones`", since="0.2", until="0.4")
    assert (
        str(told[0].message)
        == "convert's `pitch` is deprecated since vczoo 0.2 and will be gone in 0.4; use `semitones`"
    )
    assert told[0].filename == __file__


def test_a_recipe_with_an_old_part_works_and_warns_once(old_part: Zoo) -> None:
    with pytest.warns(VczooDeprecationWarning) as told:
        recipe = assembly.checked_recipe("demo", ["freezing={use: odd/old, trainable_stages: 1}"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", VczooDeprecationWarning)
        assert assembly.build_freezing(recipe).multipliers(3, 0) == (0.0, 0.0, 1.0)
    assert [str(one.message) for one in told] == ["freezing 'odd/old' is replaced by 'partial'; write `use: partial`"]
    assert told[0].filename == __file__


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
    with pytest.raises(PluginError, match="replaced_by is that name; name another"):
        Entry("odd/old", "freezing", "odd:old", "as it was", "MIT", replaced_by="odd/old")
    with pytest.raises(PluginError, match="replaced_by is 3, expected text"):
        Entry("odd/old", "freezing", "odd:old", "as it was", "MIT", replaced_by=3)  # type: ignore[arg-type]
