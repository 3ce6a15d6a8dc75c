"""The benchmark of the page's server."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.speed import page


def test_the_memory_is_measured_over_conversions(tmp_path: Path) -> None:
    out = tmp_path / "page.json"
    page.main(["--only", "memory", "--conversions", "2", "--every", "1", "--out", str(out)])
    rows = json.loads(out.read_text())["memory"]
    assert [row["conversions"] for row in rows] == [0, 1, 2]
    assert all(row["megabytes"] > 0 for row in rows)
