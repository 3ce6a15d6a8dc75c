"""What plugins a recipe needs: said by its parts and its `needs`, checked, listed, and part of every run."""

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
    """A folder on the path for distributions; the zoo is read anew with them, and again after."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    the_zoo.cache_clear()
    yield folder
    the_zoo.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("vczoo_foo", "vczoo_bar"))]:
        del sys.modules[name]  # another test's is another one


def write_with_recipe(site: Path, name: str, recipe: str) -> None:
    source = GOOD.replace("{name}", name) + RECIPES
    write(site, name, {f"vczoo_{name}/__init__.py": source, f"vczoo_{name}/recipes/{name}-one.yaml": recipe})


@pytest.mark.parametrize("name", list_models())
def test_every_recipe_of_ours_names_the_plugins_that_its_parts_come_from(name: str) -> None:
    file = the_zoo().recipe(name).file
    assert isinstance(file, Path)
    found = check_recipe("needs", file, "vczoo.registry.builtin")
    assert found.passed, found.detail


def test_a_plugin_that_is_not_there_is_named_with_its_version_and_next_step() -> None:
    said = need_faults(PARTS | {"needs": ["vczoo-foo>=0.2"]})
    assert list(said) == ["vczoo-foo"]
    assert "not installed" in said["vczoo-foo"]
    assert "find out who publishes it, then pip install 'vczoo-foo>=0.2'" in said["vczoo-foo"]


def test_needs_say_nothing_where_every_part_is_found() -> None:
    """Somebody may have put another backbone in the place of the one that needed it."""
    assert needed(PARTS | {"backbone": {"use": "mel-conv"}, "needs": ["vczoo-foo"]}) == {}


def test_the_version_that_is_installed_is_compared(site: Path) -> None:
    write(site, "foo", version="0.1")
    said = need_faults(PARTS | {"needs": ["vczoo_Foo >=0.2"]})["vczoo-foo"]
    assert "version 0.1 is installed, >=0.2 is needed" in said
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
    with pytest.raises(VczooError, match="no distribution"):
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
        '    return [vczoo.Entry("bar/thaw", "freezing", "vczoo.modules.freezing:Full", "an example", "MIT")]\n'
    )
    write(site, "bar", {"vczoo_bar/__init__.py": source})
    the_zoo.cache_clear()
    (row,) = recipe_rows("foo-one")
    assert (row["from"], row["needs"]) == ("vczoo-foo", "vczoo-bar")


def test_the_suite_finds_a_recipe_that_does_not_say_what_it_needs(site: Path) -> None:
    write(site, "bar")
    write_with_recipe(site, "foo", "extends: demo\nbackbone:\n  use: bar/net\n")
    file = site / "vczoo_foo" / "recipes" / "foo-one.yaml"
    assert "needs: [vczoo-bar] was expected, got none" in check_recipe("needs", file, "vczoo_foo").detail
    file.write_text("extends: demo\nneeds: [vczoo-bar]\nbackbone:\n  use: bar/net\n", encoding="utf-8")
    assert check_recipe("needs", file, "vczoo_foo").passed
    file.write_text("extends: demo\nbackbone:\n  use: foo/net\n", encoding="utf-8")
    assert check_recipe("needs", file, "vczoo_foo").passed  # its own part: who has the recipe has it
