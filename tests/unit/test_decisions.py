"""The decision records: each has the same form and is in the index once, with its date and status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FOLDER = ROOT / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
RECORD = re.compile(
    r"# (?P<title>.+)\n\n- \*\*Date:\*\* (?P<date>[\d-]+)\n- \*\*Status:\*\* (?P<status>.+)\n\n"
    r"## Context\n\n.+\n\n## Decision\n\n.+\n\n## Evidence\n\n.+\n",
    re.DOTALL,
)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_its_sections_and_is_in_the_index(path: Path) -> None:
    record = RECORD.fullmatch(path.read_text(encoding="utf-8"))
    assert record, "expected a title, Date, Status, then the sections Context, Decision and Evidence"
    row = f"| {record['date']} | [{path.stem[:4]} {record['title']}]({path.name}) | {record['status']} |"
    assert (FOLDER / "index.md").read_text(encoding="utf-8").splitlines().count(row) == 1


def test_records_are_numbered_in_the_order_of_their_dates() -> None:
    assert [path.name[:5] for path in RECORDS] == [f"{number:04}-" for number in range(1, len(RECORDS) + 1)]
    dates = [re.findall(r"\*\*Date:\*\* (\S+)", path.read_text(encoding="utf-8"))[0] for path in RECORDS]
    assert dates == sorted(dates)
