"""The text of whole model cards, each kept in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.hub.test_card import FACTS
from tests.unit.hub.test_card_lineage import BASE, HUB, LOCAL
from vczoo.hub.card import CardFacts, PartFacts, VoiceFacts, make_card

HERE = Path(__file__).parent
FULL = replace(
    FACTS,
    tasks={"speaker": "speaker", "voice": "voice", "letters": "text", "mood": "label"},
    labels=tuple(f"mood {number}" for number in range(42)),
    voices=(*FACTS.voices, *(VoiceFacts(f"speaker | {number}", 30.0) for number in range(30))),
    lineage=(HUB, LOCAL, *[BASE] * 20),
    attribution=("My data, CC0",),
    parts=(*FACTS.parts, PartFacts("teacher", "mel-conv", "random", licence="cc-by-4.0", start=BASE)),
    files={f"{number}.wav": 10**number for number in range(12)} | {f"a{number}": 1 for number in range(40)},
    licence="other",
    licence_name="Mine",
    licence_link="https://example.org/license",
    revision="",
)
PLAIN = replace(
    FACTS,
    tasks={"speaker": "speaker", "letters": "text"},
    voices=(),
    minutes=(3.0,),
    metrics={"epochs": 0, "validation": {"letters.wer": 0.5}},
    evaluation=None,
    samples=(),
    plots=(),
    parts=(),
    files={},
    versions={},
    licence_notes=(),
)


@pytest.mark.parametrize(("facts", "name"), [(FULL, "card_full.md"), (PLAIN, "card_plain.md")])
def test_the_text_of_a_card(facts: CardFacts, name: str) -> None:
    assert make_card(facts) == (HERE / name).read_text("utf-8")
