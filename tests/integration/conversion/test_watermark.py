"""Watermarks: what a plugin registers is embedded and found again, by name, and checked as other parts are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vczoo
from tests.unit.conversion.test_watermark import NAME, PLUGIN, found
from vczoo.registry.zoo import the_zoo


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "site"
    for name, text in PLUGIN.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    monkeypatch.syspath_prepend(place)
    the_zoo.cache_clear()
    yield
    the_zoo.cache_clear()
    for module in ("vczoo_spread", "vczoo_spread_part"):
        sys.modules.pop(module, None)


@pytest.fixture
def converter(plugin: None, trained_folder: Path) -> vczoo.Converter:
    return vczoo.load(trained_folder)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_carries_it(jobs: int, converter: vczoo.Converter, voices_folder: Path, tmp_path: Path) -> None:
    for watermark, expected in ((NAME, True), ("", False)):
        made = vczoo.convert_folder(
            converter, voices_folder / "carol", tmp_path / str(expected), "bob", jobs=jobs, watermark=watermark
        )
        assert [found(one.out) > 0.5 for one in made] == [expected] * 6
