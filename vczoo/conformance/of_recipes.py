"""What a recipe of a plugin promises: its file in; a `Result` for each named check out."""

from __future__ import annotations

import time
from pathlib import Path

from vczoo.assembly import checked_recipe
from vczoo.conformance.names import OF_RECIPES
from vczoo.conformance.of_entries import check_light
from vczoo.conformance.suite import Result
from vczoo.errors import VczooError

__all__ = ["check_recipe"]


def check_recipe(name: str, file: Path, module: str) -> Result:
    """Make one of `OF_RECIPES`: that it has no fault, or that the module that registers it is light."""
    start, detail = time.perf_counter(), ""
    try:
        if name == OF_RECIPES[0]:
            check_light(module)
        else:
            checked_recipe(file)
    except VczooError as error:
        detail = str(error)
    return Result(name, "recipe", "failed" if detail else "passed", detail, time.perf_counter() - start)
