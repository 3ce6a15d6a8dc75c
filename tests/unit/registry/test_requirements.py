"""Plugin requirements of recipes, from their parts and their `needs`: checks and listings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.registry.test_discovery import GOOD, write
from vczoo import list_models
from vczoo.cli.listing import recipe_rows
from vczoo.errors import RecipeError, VczooError
from vczoo.models.build import checked_recipe
from vczoo.registry.requirements import need_faults, needed, parse_need
from vczoo.registry.zoo import the_zoo
from vczoo.testing.checks.recipes import check_recipe

PARTS = {
    "backbone": {"use": "foo/net"},
    "freezing": {"use": "none"},
    "heads": {"speaker": {"use": "speaker-classifier"}},
    "vocoder": {"use": "griffin-lim"},
}
RECIPES = """

@vczoo.hookimpl
def vczoo_recipes():
    from pathlib import Path

    return Path(__file__).parent / "recipes"
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path for distributions. The zoo is created anew for the test, and again after it."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    the_zoo.cache_clear()
    yield folder
    the_zoo.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("vczoo_foo", "vczoo_bar"))]:
        del sys.modules[name]  # another test writes another package with this name


def write_with_recipe(site: Path, name: str, recipe: str) -> None:
    source = GOOD.replace("{name}", name) + RECIPES
    write(site, name, {f"vczoo_{name}/__init__.py": source, f"vczoo_{name}/recipes/{name}-one.yaml": recipe})


@pytest.mark.parametrize("name", list_models())
def test_every_recipe_of_ours_names_the_plugins_that_its_parts_come_from(name: str) -> None:
    file = the_zoo().recipe(name).file
    assert isinstance(file, Path)
    result = check_recipe("needs", file, "vczoo.registry.builtin")
    assert result.passed, result.detail


def test_a_plugin_that_is_not_there_is_named_with_its_version_and_next_step() -> None:
    faults = need_faults(PARTS | {"needs": ["vczoo-foo>=0.2"]})
    assert list(faults) == ["vczoo-foo"]
    assert "not installed" in faults["vczoo-foo"]
    assert "find out who publishes it, then pip install 'vczoo-foo>=0.2'" in faults["vczoo-foo"]


def test_needs_say_nothing_where_every_part_is_found() -> None:
    """The user may have replaced the backbone that needed the plugin."""
    assert needed(PARTS | {"backbone": {"use": "mel-conv"}, "needs": ["vczoo-foo"]}) == {}


def test_the_version_that_is_installed_is_compared(site: Path) -> None:
    write(site, "foo", version="0.1")
    fault = need_faults(PARTS | {"needs": ["vczoo_Foo >=0.2"]})["vczoo-foo"]
    assert "version 0.1 is installed, but >=0.2 is needed" in fault
    assert need_faults(PARTS | {"needs": ["vczoo-foo>=0.1"]}) == {}


def test_checking_a_recipe_says_what_to_install_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: demo\nneeds: [vczoo-foo]\nbackbone:\n  use: foo/net\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        checked_recipe(file)
    assert sum("vczoo-foo" in fault for fault in caught.value.faults) == 1
    file.write_text("extends: demo\nbackbone:\n  use: torchaudio/nothing\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        checked_recipe(file)
    assert sum("torchaudio" in fault for fault in caught.value.faults) == 1


@pytest.mark.parametrize(
    "text", ["", "two words", "vczoo-foo[all]", "vczoo-foo @ file:///x", "a" * 201, "x; python_version<'3'"]
)
def test_what_is_no_distribution_is_refused(text: str) -> None:
    with pytest.raises(VczooError, match="is not a distribution with an optional version range"):
        parse_need(text)
    with pytest.raises(RecipeError, match=r"needs"):
        checked_recipe("demo", {"needs": [text]})


def test_the_list_says_whose_a_recipe_is_and_what_else_it_needs(site: Path) -> None:
    recipe = "extends: demo\nneeds: [vczoo-bar]\nbackbone:\n  use: foo/net\nfreezing:\n  use: bar/thaw\n"
    write_with_recipe(site, "foo", recipe)
    (row,) = recipe_rows("foo-one")
    assert (row["from"], row["needs"]) == ("vczoo-foo", "vczoo-bar (not installed)")
    source = (
        "import vczoo\n\n@vczoo.hookimpl\ndef vczoo_entries():\n"
        '    return [vczoo.Entry("bar/thaw", "freezing", "vczoo.modules.freezing.stages:Full", "an example", "MIT")]\n'
    )
    write(site, "bar", {"vczoo_bar/__init__.py": source})
    the_zoo.cache_clear()
    (row,) = recipe_rows("foo-one")
    assert (row["from"], row["needs"]) == ("vczoo-foo", "vczoo-bar")


def test_the_suite_finds_a_recipe_that_does_not_say_what_it_needs(site: Path) -> None:
    write(site, "bar")
    write_with_recipe(site, "foo", "extends: demo\nbackbone:\n  use: bar/net\n")
    file = site / "vczoo_foo" / "recipes" / "foo-one.yaml"
    assert "expected needs: [vczoo-bar] for its parts, got none" in check_recipe("needs", file, "vczoo_foo").detail
    file.write_text("extends: demo\nneeds: [vczoo-bar]\nbackbone:\n  use: bar/net\n", encoding="utf-8")
    assert check_recipe("needs", file, "vczoo_foo").passed
    file.write_text("extends: demo\nbackbone:\n  use: foo/net\n", encoding="utf-8")
    assert check_recipe("needs", file, "vczoo_foo").passed  # the part is from the same distribution as the recipe
