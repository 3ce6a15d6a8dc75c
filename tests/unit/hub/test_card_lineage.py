"""The card says what a run was made from, and whom to credit."""

from __future__ import annotations

from dataclasses import replace

from huggingface_hub import ModelCard

from tests.unit.hub.test_card import FACTS
from vczoo.hub.card import PartFacts, make_card
from vczoo.runs.config import Ancestor

BASE = Ancestor(
    kind="bundled",
    name="base",
    revision="0.1.0",
    licence="cc-by-sa-4.0",
    parts=["backbone", "heads.voice"],
    attribution=["LibriSpeech by V. Panayotov, CC BY 4.0"],
)
HUB = Ancestor(
    kind="hub", name="me/alice", revision="abcdef0123456789" * 2 + "abcdef01", consent="written-consent", licence="mit"
)
LOCAL = Ancestor(kind="local", name="demo")
TUNED = replace(FACTS, lineage=(HUB, BASE), base_models=("me/alice",))


def test_a_voice_tuned_from_the_bundled_model_names_it_and_credits_its_data() -> None:
    parts = (PartFacts("backbone", "content-conv", "random", licence="cc-by-sa-4.0", start=BASE),)
    card = make_card(replace(FACTS, lineage=(BASE,), parts=parts, base_models=()))
    assert "It began with the weights of <code>base</code>, the model bundled with vczoo 0.1.0." in card
    assert (
        "| backbone | <code>content-conv</code> | weights of <code>base</code>, the model bundled with vczoo 0.1.0 "
        "| cc-by-sa-4.0 |" in card
    )
    assert "no pretrained weights" not in card
    assert "weights <code>random</code>" not in card
    assert "| <code>backbone</code>, <code>heads.voice</code> | cc-by-sa-4.0 | none recorded |" in card
    assert "LibriSpeech by V. Panayotov, CC BY 4.0" in card.partition("## License")[2]
    assert "license <code>cc-by-sa-4.0</code>; changed by fine-tuning or enrollment" in card
    assert "Fine-tuned on 14.3 minutes" in card
    assert "vczoo-base:base" in ModelCard(card).data.tags


def test_a_voice_made_from_a_published_run_names_its_commit_and_recorded_consent() -> None:
    card = make_card(TUNED)
    name = "[me/alice](<http://127.0.0.1:8000/me/alice>) at commit <code>abcdef012345</code>"
    assert f"It began with the weights of {name}." in card
    assert f"| {name} |  | mit | written-consent |" in card
    assert ModelCard(card).data.base_model == ["me/alice"]


def test_credits_are_of_every_ancestor_and_of_the_run_itself() -> None:
    section = make_card(replace(TUNED, attribution=("My data, CC0",))).partition("Credit,")[2]
    for line in ("My data, CC0", "me/alice", "LibriSpeech by V. Panayotov"):
        assert line in section
    assert "Credit," not in make_card(FACTS)
    assert "Made from these runs" not in make_card(FACTS)


def test_an_unpublished_run_is_named_by_its_recipe_and_has_no_credit() -> None:
    card = make_card(replace(FACTS, lineage=(LOCAL,)))
    assert "an unpublished run of the recipe <code>demo</code> |  | not shared | none recorded |" in card
    assert "Credit," not in card


def test_a_lineage_of_a_stranger_stays_text_and_is_cut() -> None:
    name = "| <script> [a](http://evil.example)\n# heading"
    hostile = Ancestor(
        kind="hub", name=name, revision=name, licence=name, consent=name, attribution=[name], parts=[name]
    )
    card = make_card(replace(FACTS, lineage=(hostile,) * 30))
    assert "<script>" not in card
    assert "\n# heading" not in card
    assert "](http://evil" not in card
    assert "And 10 more; vczoo.yaml has the full list." in card


def test_a_head_with_one_class_has_no_accuracy() -> None:
    metrics = {"speakers": 1, "test": {"speaker.accuracy": 1.0, "mood.recall": 1.0, "similarity": 0.7}}
    tasks = {"speaker": "speaker", "voice": "voice", "mood": "label"}
    card = make_card(replace(FACTS, metrics=metrics, tasks=tasks, labels=("calm",), evaluation=None))
    assert [result.metric_type for result in ModelCard(card).data.eval_results] == ["speaker_similarity"]
    assert "speaker.accuracy" not in card
    both = make_card(replace(FACTS, metrics={**metrics, "speakers": 2}, tasks=tasks, labels=("calm", "sad")))
    assert {"accuracy", "recall"} <= {result.metric_type for result in ModelCard(both).data.eval_results}
