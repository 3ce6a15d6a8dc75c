"""Each named check finds the part that breaks its promise, and no other check of the same entry complains of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of broken parts, for factories to be found in."""
    module = ModuleType("broken_parts")
    monkeypatch.setitem(sys.modules, "broken_parts", module)
    return module


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import torch\n", "got .*torch"),
        ("import yaml\n", "got .*yaml"),
        ("def vczoo_entries():\n    import numpy\n    return []\n", "got .*numpy"),
        ("import not_there\n", "No module named 'not_there'"),
    ],
)
def test_a_plugin_that_is_not_light(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vczoo.errors import ContractError
    from vczoo.testing.checks.entries import check_light

    name = f"vczoo_heavy_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ContractError, match=said):
        check_light(name)
    (tmp_path / f"{name}_light.py").write_text("import json, vczoo\nvczoo.Entry\n")
    check_light(f"{name}_light")
