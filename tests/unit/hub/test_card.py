from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.hostile import HOSTILE, changed, examples, outcome, places
from vczoo.errors import HubError
from vczoo.hub.card import CardFacts, PartFacts, SampleFacts, VoiceFacts, make_card
from vczoo.hub.card_metadata import search_tag
from vczoo.hub.consent import Consent, parse_consent
from vczoo.io.markdown import escaped, fenced, link, one_line, web_address

HEADINGS = (
    "# mine",
    "## Voices and consent",
    "## Listen",
    "## Usage",
    "## Results",
    "## Model details",
    "## Limitations and misuse",
    "## License",
)
EVALUATION = {
    "format": 1,
    "setup": {"trials": "mini.csv", "trial_count": 24},
    "notes": ["±: half of a 95 % interval"],
    "systems": [
        {
            "system": "unconverted source",
            "role": "floor",
            "figures": {"wer": {"value": 0.0, "low": 0.0, "high": 0.0, "count": 24}},
        },
        {
            "system": "demo",
            "role": "system",
            "notes": ["its backbone is the ASR"],
            "figures": {
                "similarity_to_target": {"value": 0.81234, "low": 0.8, "high": 0.83, "count": 24},
                "wer": {"value": 0.25, "low": 0.2, "high": 0.3, "count": 24},
                "cer:pocketsphinx": {"value": 0.125, "low": 0.1, "high": 0.15, "count": 24},
                "mcd_db": {"value": None, "low": None, "high": None, "count": 0},
            },
        },
    ],
}
METRICS = {
    "speakers": 2,
    "epochs": 25,
    "best_epoch": 21,
    "seconds": 37.82,
    "validation": {"loss": 0.65, "speaker.accuracy": 0.9},
    "test": {"loss": 0.6774195656180382, "speaker.accuracy": 0.96875, "similarity": 0.7, "character_error": None},
}
FACTS = CardFacts(
    repository="somebody/mine",
    recipe="demo",
    summary="A small network learnt from scratch.",
    recipe_yaml="name: demo\nbackbone:\n  use: mel-conv\n",
    licence="cc-by-4.0",
    consent=parse_consent("public-dataset:vctk"),
    parts=(
        PartFacts("backbone", "timm/vgg16", "tv", "timm/vgg16.tv_in1k", "1234567890abcdef" * 2, "", "BSD-3-Clause"),
        PartFacts("vocoder", "vocos/mel", "file", "https://example.org/a b.bin", sha256="f" * 64, licence="MIT"),
        PartFacts("head voice", "mel-decoder"),
    ),
    voices=(VoiceFacts("alice", 12.34), VoiceFacts("bob", 2.0), VoiceFacts("carol")),
    languages=("en", "Korean"),
    base_models=("timm/vgg16.tv_in1k",),
    datasets=("CSTR-Edinburgh/vctk",),
    versions={"vczoo": "0.1.0", "vczoo-timm": "0.1.0"},
    seed=7,
    metrics=METRICS,
    evaluation=EVALUATION,
    plots=("evaluation/similarity.png",),
    samples=(SampleFacts("samples/hello world.wav", "alice", "Hello, world.", "dave"),),
    files={"README.md": 900, "model.safetensors": 30_512_000},
    licence_notes=("recordings, vctk is CC-BY-4.0: name its authors wherever you share this.",),
    endpoint="http://127.0.0.1:8000/",
    revision="v1",
)


def outside_code(card: str) -> list[str]:
    """The lines of a card's body that are in no fenced block, as CommonMark finds them."""
    lines, fence = [], ""
    for line in ModelCard(card).text.split("\n"):
        row = re.match(r" {0,3}(`{3,})(.*)", line)
        if fence:
            closes = row and len(row[1]) >= len(fence) and not row[2].strip()
            fence = "" if closes else fence
        elif row and "`" not in row[2]:
            fence = row[1]
        else:
            lines.append(line)
    assert not fence, "a block of code is not closed"
    return lines


def test_the_hub_reads_the_metadata_back() -> None:
    data = ModelCard(make_card(FACTS)).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-4.0", "vczoo", "audio-to-audio")
    assert data.tags == [
        "vczoo",
        "voice-conversion",
        "audio-to-audio",
        "vczoo-recipe:demo",
        "vczoo-backbone:timm-vgg16",
        "vczoo-vocoder:vocos-mel",
    ]
    assert (data.base_model, data.base_model_relation) == (["timm/vgg16.tv_in1k"], "finetune")
    assert (data.datasets, data.language) == (["CSTR-Edinburgh/vctk"], ["en"])


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ({"epochs": 24, "best_epoch": 4, "kept_epoch": 4}, "24 epochs; the weights are from epoch 4. Seed 7."),
        (
            {"epochs": 24, "best_epoch": 4, "kept_epoch": 23},
            "24 epochs; the weights are from epoch 23, and validation was best at epoch 4. Seed 7.",
        ),
        ({"epochs": 0, "best_epoch": -1, "kept_epoch": -1}, "speakers. Seed 7."),
    ],
)
def test_the_card_names_the_epoch_of_the_weights(metrics: dict[str, int], sentence: str) -> None:
    assert sentence in make_card(replace(FACTS, metrics=metrics))


def test_the_model_index_holds_the_figures_of_the_system_alone() -> None:
    data = ModelCard(make_card(FACTS)).data
    assert data.model_name == "somebody/mine"
    found = {(r.metric_type, r.task_type, r.dataset_name): (r.metric_value, r.metric_name) for r in data.eval_results}
    assert found == {
        ("speaker_similarity", "audio-to-audio", "mini.csv"): (
            0.8123,
            "Speaker similarity to the target, cosine, 95% interval 0.800 to 0.830",
        ),
        ("wer", "audio-to-audio", "mini.csv"): (0.25, "WER, 95% interval 0.200 to 0.300"),
        ("cer", "audio-to-audio", "mini.csv"): (0.125, "CER by pocketsphinx, 95% interval 0.100 to 0.150"),
        ("accuracy", "audio-classification", "vctk, test split"): (0.9688, "Accuracy of head speaker"),
        ("speaker_similarity", "audio-to-audio", "vctk, test split"): (
            0.7,
            "Speaker similarity of held-out conversions, cosine",
        ),
    }
    assert {result.dataset_type for result in data.eval_results} == {"trials", "CSTR-Edinburgh/vctk"}


def test_the_body_says_whose_voice_how_to_use_it_and_how_good_it_is() -> None:
    body = ModelCard(make_card(FACTS)).text
    assert tuple(line for line in outside_code(make_card(FACTS)) if line.startswith("#")) == HEADINGS
    for said in (
        "into the voices of <code>alice</code>, <code>bob</code> and <code>carol</code>.",
        "This does not mean that its speakers consented to being imitated.",
        "| <code>alice</code> | 12.3 |",
        "| <code>carol</code> | enrolled without training |",
        'src="http://127.0.0.1:8000/somebody/mine/resolve/v1/samples/hello%20world.wav"',
        "Hello, world. (spoken by dave)",
        'vc = vczoo.load("somebody/mine@v1")\nvc.convert("hello.wav", voice="alice").save("converted.wav")',
        "vczoo convert somebody/mine@v1 hello.wav --voice alice --out converted.wav",
        "| measure | unconverted source (floor) | demo&#42; |",
        "| WER ↓ | 0.000&nbsp;±0.000 | 0.250&nbsp;±0.050 |",
        "its backbone is the ASR",
        "| <code>speaker.accuracy</code> | 0.9 | 0.9688 |",
        "![evaluation/similarity.png](http://127.0.0.1:8000/somebody/mine/resolve/v1/evaluation/similarity.png)",
        "Trained on 14.3 minutes of speech of 2 speakers. ",
        "25 epochs in 38 s; the weights are from epoch 21. Seed 7.",
        "[timm/vgg16.tv&#95;in1k](<http://127.0.0.1:8000/timm/vgg16.tv_in1k>), revision <code>1234567890ab</code>",
        "[example.org](<https://example.org/a%20b.bin>), sha256 <code>ffffffffffff</code>",
        "```yaml\nname: demo\nbackbone:\n  use: mel-conv\n```",
        "Files, 30.5 MB in total",
        "as little as 2.0 minutes",
        "`vczoo provenance FILE` reads the mark",
        "- recordings, vctk is CC-BY-4.0: name its authors wherever you share this.",
    ):
        assert said in body, said


def test_what_is_not_known_is_said_or_left_out() -> None:
    bare = CardFacts("somebody/mine", "demo", "Small.", "name: demo\n", "mit", parse_consent("own-voice"))
    card = make_card(bare)
    data = ModelCard(card).data
    assert data.eval_results is None
    assert "model_name" not in data.to_dict()
    assert {"base_model", "datasets", "language", "metrics"}.isdisjoint(data.to_dict())
    assert "Similarity to the voices and intelligibility were not measured." in card
    assert "To always load the same model, append `@` and a commit or tag" in card
    assert "## Listen" not in card
    assert "voices that you enroll" in card


def test_a_run_without_a_voice_head_is_said_to_recognise() -> None:
    card = make_card(replace(FACTS, tasks={"speaker": "speaker"}, evaluation=None, samples=()))
    data = ModelCard(card).data
    assert data.pipeline_tag == "audio-classification"
    assert "voice-conversion" not in data.tags
    assert "vczoo identify somebody/mine@v1 who.wav" in card
    assert ".convert(" not in card
    assert "vczoo provenance" not in card


def test_a_run_that_writes_and_labels_is_said_to() -> None:
    facts = replace(
        FACTS,
        tasks={"text": "text", "mood": "label"},
        labels=("angry", "calm"),
        minutes=(3.0, 4.0),
        voices=(),
        metrics={"test": {"loss": 1.0, "text.wer": 0.1, "text.cer": 0.05, "mood.accuracy": 0.7, "mood.recall": 0.6}},
        evaluation=None,
        samples=(),
    )
    card = make_card(facts)
    data = ModelCard(card).data
    assert data.pipeline_tag == "automatic-speech-recognition"
    assert {"automatic-speech-recognition", "audio-classification"} <= set(data.tags)
    assert {"voice-conversion", "speaker-recognition"}.isdisjoint(data.tags)
    found = {(one.task_name, one.metric_type): one.metric_value for one in data.eval_results}
    assert found == {
        ("Speech recognition", "wer"): 0.1,
        ("Speech recognition", "cer"): 0.05,
        ("Classification of utterances", "accuracy"): 0.7,
        ("Classification of utterances", "recall"): 0.6,
    }
    for said in (
        "Transcribes speech. Classifies utterances with these labels: <code>angry</code>, <code>",
        "Trained on 7.0 minutes of speech of 2 speakers.",
        'print(vc.transcribe("hello.wav"))',
        "vczoo classify somebody/mine@v1 hello.wav",
        "not evidence of what a person feels or is",
    ):
        assert said in card, said
    for unsaid in (".convert(", ".identify(", "voices that you enroll", "less similar", "access control"):
        assert unsaid not in card, unsaid
    one = ModelCard(make_card(replace(facts, tasks={"mood": "label"}))).data
    assert one.pipeline_tag == "audio-classification"


def test_a_run_that_converts_and_writes_is_said_to_do_both() -> None:
    card = make_card(replace(FACTS, tasks=FACTS.tasks | {"text": "text"}))
    assert ModelCard(card).data.pipeline_tag == "audio-to-audio"
    assert ".convert(" in card
    assert ".transcribe(" in card
    assert ".identify(" not in card


def test_terms_of_ones_own_are_named_and_linked() -> None:
    facts = replace(FACTS, licence="other", licence_name="our-terms", licence_link="https://example.org/terms")
    card = make_card(facts)
    data = ModelCard(card).data
    assert (data.license, data.license_name, data.license_link) == ("other", "our-terms", "https://example.org/terms")
    assert "([our-terms](<https://example.org/terms>))" in card
    assert "license_name" not in ModelCard(make_card(replace(facts, licence="mit"))).data.to_dict()


def test_ten_thousand_voices_make_no_card_of_megabytes() -> None:
    voices = tuple(VoiceFacts(f"voice-{number}", 1.0) for number in range(10_000))
    card = make_card(replace(FACTS, voices=voices))
    assert len(card) < 20_000
    assert "into 10,000 voices." in card
    assert "<code>voice-29</code>" in card
    assert "voice-30" not in card
    assert "And 9,970 more voices" in card


def test_long_lists_and_texts_are_cut() -> None:
    big = replace(
        FACTS,
        recipe_yaml="x: 1\n" * 100_000,
        summary="long " * 10_000,
        samples=tuple(SampleFacts(f"{number}.wav", "alice", "la " * 1000) for number in range(1000)),
        files={f"{number}.bin": 1 for number in range(10_000)},
    )
    assert len(make_card(big)) < 60_000
    assert "# … shortened; see vczoo.yaml" in make_card(big)


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "| x | y |",
        "`code` **bold** [a](http://evil.example) ![b](http://evil.example/beacon.png)",
        "line\n\n# heading\n---\nlicense: mit",
        '"quoted" onerror="alert(1)',
        "</code></details><!--",
        "\u202egnp.exe",
        "```\n</pre>",
        "\ud800",
    ],
)
def test_a_hostile_name_stays_text(name) -> None:
    card = make_card(
        replace(
            FACTS,
            recipe=name,
            summary=name,
            voices=(VoiceFacts(name, 1.0), VoiceFacts("bob", 2.0)),
            parts=(PartFacts(name, name, name, name, name, name, name),),
            consent=Consent(f"public-dataset:{name}", name, f"Of {name}.", "unknown", ""),
            languages=(name,),
            base_models=(name,),
            datasets=(name,),
            versions={name: name},
            plots=(name,),
            samples=(SampleFacts(name, name, name, name),),
            licence_notes=(name,),
            licence_link=name,
            recipe_yaml=name,
            files={name: 1},
            evaluation={
                "setup": {"trials": name, "trial_count": 1},
                "notes": [name],
                "systems": [
                    {"system": name, "role": "system", "notes": [name], "figures": EVALUATION["systems"][1]["figures"]},
                ],
            },
            metrics={"test": {name: 1.0, f"{name}.accuracy": 1.0}},
        )
    )
    card.encode("utf-8")
    lines = outside_code(card)
    assert tuple(line for line in lines if line.startswith("#")) == HEADINGS
    text = "\n".join(lines)
    tags = set(re.findall(r"<(/?\w+)", text)) - {"http"}
    assert tags == {"code", "/code", "audio", "/audio", "details", "/details", "summary", "/summary"}
    assert all(target.startswith(FACTS.endpoint) for target in re.findall(r"\]\(<?([^)>]*)", text))
    assert 'onerror="' not in text
    assert "\u202e" not in card
    assert not re.search(r"[\r\x00-\x09\x0b-\x1f]", text)
    for line in lines:
        if line.startswith("|"):
            assert line.count("|") in (3, 4, 5), line  # 2, 3 or 4 cells
    data = ModelCard(card).data
    assert data.license == "cc-by-4.0"
    assert "base_model" not in data.to_dict()
    assert (one_line(name) or "trials") in {
        result.dataset_name.removesuffix(", test split") for result in data.eval_results
    }


KEYS = {"license", "library_name", "pipeline_tag", "tags", "language", "base_model", "base_model_relation", "datasets"}


@settings(max_examples=examples(100), deadline=None)
@given(name=st.text(min_size=1, max_size=60), other=st.text(max_size=60))
def test_arbitrary_names_survive_in_the_metadata_and_do_not_break_out(name, other) -> None:
    evaluation = json.loads(json.dumps(EVALUATION))
    evaluation["setup"]["trials"] = name
    facts = replace(
        FACTS,
        repository=f"somebody/{name}",
        recipe=other,
        licence="other",
        licence_name=name,
        licence_link=other,
        consent=Consent(f"public-dataset:{name}", name, name, "", ""),
        languages=(name, other),
        base_models=(name,),
        datasets=(other,),
        evaluation=evaluation,
        metrics={"test": {f"{other}.accuracy": 0.5}},
        recipe_yaml=name,
        voices=(VoiceFacts(name, 1.0), VoiceFacts(other)),
    )
    card = make_card(facts)
    data = ModelCard(card).data
    assert set(data.to_dict()) <= KEYS | {"license_name", "license_link", "metrics", "model-index"}
    assert data.license == "other"
    assert data.get("license_name", "") == one_line(name)
    assert data.get("license_link", "") == one_line(other)
    assert data.model_name == one_line(f"somebody/{name}")
    assert {result.dataset_name for result in data.eval_results} == {
        one_line(name) or "trials",
        f"{one_line(name) or 'recordings of its own voices'}, test split",
    }
    headings = [line for line in outside_code(card) if line.startswith("#")]
    assert tuple(headings[1:]) == HEADINGS[1:]


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=100))
def test_escaped_text_has_no_structure_and_code_stays_in_its_block(text) -> None:
    assert not re.search(r"[\\`*_{}\[\]<>!|\"~$@\n\r]|&(?!#\d+;)", escaped(text))
    block = fenced(text, "yaml")
    fence = block[: len(block) - len(block.lstrip("`"))]
    inner = block.split("\n")[1:-1]
    assert not any(line.strip().startswith(fence) for line in inner)
    assert "\r" not in block


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("- a", "&#45; a"),
        ("=", "&#61;"),
        ("12) a", "&#49;2) a"),
        ("3.", "&#51;."),
        ("1.5 kHz, a-b", "1.5 kHz, a-b"),
        ("A: b", "A: b"),
        (":joy:", "&#58;joy:"),
        (" Müller's\t김 ", "Müller's 김"),
    ],
)
def test_text_at_the_start_of_a_line_makes_no_list(text, safe) -> None:
    assert escaped(text) == safe


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "ftp://x", "", "http://"])
def test_only_addresses_of_the_web_are_linked(url) -> None:
    assert web_address(url) == ""
    assert link("text", url) == "text"


def test_an_address_cannot_end_its_attribute() -> None:
    assert web_address('https://a.example/x" onerror="alert(1)') == "https://a.example/x%22%20onerror=%22alert%281%29"


def test_a_search_tag_is_of_plain_letters() -> None:
    assert search_tag("backbone", "timm/ResNet18.a1_in1k") == "vczoo-backbone:timm-resnet18.a1-in1k"


@pytest.mark.parametrize(
    ("metrics", "evaluation", "fault"),
    [
        ({"test": "x"}, None, r"metrics\.json: test: .* got 'x'"),
        ({"epochs": None}, None, r"metrics\.json: epochs: .* got None"),
        ({"best_epoch": [1]}, None, r"metrics\.json: best_epoch: .*integer, got \[1\]"),
        ({}, {"systems": {}}, r"evaluation: systems: .* got {}"),
        ({}, {"systems": ["x"]}, r"evaluation: systems\.0: .* got 'x'"),
        ({}, {"systems": [{"figures": {"wer": 0.5}}]}, r"evaluation: systems\.0\.figures\.wer: .* got 0\.5"),
        ({}, {"systems": [{"figures": {"wer": {"value": "\x1b[2J"}}}]}, r"figures\.wer\.value.*: .*\\x1b\[2J"),
        ({}, {"setup": []}, "evaluation: setup"),
        ({}, {"notes": 3}, "evaluation: notes"),
    ],
)
def test_a_figure_of_an_odd_type_is_named(metrics: dict, evaluation: dict | None, fault: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(HubError, match=fault):
        make_card(replace(FACTS, metrics=metrics, evaluation=evaluation))


def test_figures_of_any_type_make_a_card_or_one_error() -> None:
    outcomes = set()
    for name, valid in (("metrics", METRICS), ("evaluation", EVALUATION)):
        for place in places(valid):
            for value in HOSTILE[::8]:
                facts = replace(FACTS, **{name: changed(valid, place, "replace", value)})
                outcomes.add(outcome(lambda facts=facts: make_card(facts))[:10])  # type: ignore[misc]
    assert outcomes == {"", "the figure"}


def test_an_evaluation_of_one_trial_is_shown_without_an_interval() -> None:
    figure = {"value": 0.7, "low": None, "high": None, "count": 1}
    system = {"system": "mine", "role": "system", "notes": [], "figures": {"similarity_to_target": figure}}
    card = make_card(replace(FACTS, evaluation={"setup": {}, "notes": [], "systems": [system]}))
    assert "| to target ↑ | 0.700 |" in card
    assert "±" not in card
    assert "95% interval" not in card
