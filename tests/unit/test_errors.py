from __future__ import annotations

import pytest

from vczoo import errors
from vczoo.errors import RecipeError, VczooError, first_line
from vczoo.io.text import nearest


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_every_error_is_a_vczoo_error(name) -> None:
    assert issubclass(getattr(errors, name), VczooError)


def test_recipe_error_lists_every_fault() -> None:
    error = RecipeError("mine", ["no head", "rates differ"])
    assert str(error) == "recipe 'mine' has 2 faults:\n  - no head\n  - rates differ"
    assert error.name == "mine"
    assert error.faults == ("no head", "rates differ")
    assert str(RecipeError("mine", ["no head"])).startswith("recipe 'mine' has 1 fault:\n")


def test_the_first_line_of_an_error_is_never_empty_nor_long() -> None:
    assert first_line(ValueError("no\nbut")) == "no"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 1000))) == 200


def test_nearest_offers_close_names() -> None:
    known = ["vgg16-partialfreeze", "vgg16-fullfreeze", "whisper-knn"]
    assert nearest("whisper-kn", known) == "; did you mean 'whisper-knn'?"
    assert nearest("vgg16-partial", known).startswith("; did you mean 'vgg16-partialfreeze'")


def test_nearest_looks_past_case_and_keeps_the_name() -> None:
    assert nearest("WAVLM-BASE", ["WavLM-base"]) == "; did you mean 'WavLM-base'?"


def test_nearest_offers_no_more_than_its_limit() -> None:
    assert nearest("voice", [f"voice{n}" for n in range(9)], limit=2).count(" or ") == 1


def test_nearest_is_silent_where_nothing_is_close() -> None:
    assert "did you mean" not in nearest("zzz", ["vgg16"])
    assert "did you mean" not in nearest("zzz", [])
