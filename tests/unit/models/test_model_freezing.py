"""Freezing of every part: what recipes may say, what is applied, and which faults are reported."""

from __future__ import annotations

import pytest
import torch

from tests.support.recipes import recipe
from vczoo.errors import RecipeError
from vczoo.models.build import build, build_freezing, check
from vczoo.models.model import Model
from vczoo.models.part_options import with_defaults
from vczoo.models.recipe import Recipe


def tensors(model: Model) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.tensors().items()}


@pytest.mark.parametrize(
    ("freezing", "backbone", "parts"),
    [
        ({"use": "none"}, {"use": "none"}, {}),
        ({"backbone": {"use": "norms"}}, {"use": "norms"}, {}),
        ({"voice": {"use": "lora", "rank": 2}}, {"use": "full"}, {"voice": {"use": "lora", "rank": 2}}),
        ({"backbone": "none", "voice": "film-only"}, {"use": "none"}, {"voice": {"use": "film-only"}}),
        (
            {"use": "partial", "trainable_stages": 2, "voice": "bitfit"},  # a child's part, merged over its parent
            {"use": "partial", "trainable_stages": 2},
            {"voice": {"use": "bitfit"}},
        ),
        ({"use": "partial", "backbone": "full", "speaker": "full"}, {"use": "full"}, {"speaker": {"use": "full"}}),
    ],
)
def test_forms(freezing, backbone, parts) -> None:
    values = {**recipe().to_plain(), "freezing": freezing}
    parsed = Recipe.parse(values)
    assert {"use": parsed.freezing.use, **parsed.freezing.options} == backbone
    assert {name: part.model_dump() for name, part in parsed.freezing.parts.items()} == parts
    plain = parsed.to_plain()
    assert plain["freezing"] == ({"backbone": backbone, **parts} if parts else backbone)
    assert Recipe.parse(plain) == parsed


@pytest.mark.parametrize(
    ("freezing", "fault"),
    [
        (
            {"backbone": "full", "voise": "bitfit"},
            "freezing.voise: the recipe has no such part; did you mean 'voice' or 'vocoder'? Its parts: backbone, "
            "speaker, voice, vocoder",
        ),
        ({"voice": "film-onyl"}, "freezing.voice.use: no freezing is called 'film-onyl'; did you mean 'film-only'?"),
        ({"voice": {"use": "lora", "rang": 2}}, "freezing.voice.rang: lora has no such option; did you mean 'rank'?"),
        ({"voice": {"use": "lora", "rank": 0}}, "freezing.voice: rank must be 1 to 4096, got 0"),
        ({"voice": {"rank": 2}}, "freezing.voice.use: required, but missing"),
        (
            {"speaker": "film-only"},
            "freezing: speaker: film-only trains the biases of layers called film, adain, conditional… or cond_…, but "
            "this part has none, so nothing would train; its parameters have names such as speaker.",
        ),
        (
            {"voice": {"use": "partial", "trainable_stages": 2}},
            "freezing: voice: trainable_stages is 2, but the part is one stage; choose 0 to 1",
        ),
        (
            {"backbone": "full", "speaker": "full", "voice": "full"},
            "freezing: every part is frozen, so nothing would train; choose another strategy for one of them",
        ),
    ],
)
def test_faults(freezing, fault) -> None:
    with pytest.raises(RecipeError) as error:
        check(Recipe.parse({**recipe().to_plain(), "freezing": freezing}))
    assert len(error.value.faults) == 1
    assert error.value.faults[0].startswith(fault)


def test_fine_tuning_trains_no_vocoder() -> None:
    for strategy in ("none", "lora"):
        chosen = Recipe.parse({**recipe().to_plain(), "freezing": {"use": "full", "vocoder": strategy}})
        check(chosen)  # since `vczoo train-vocoder` may use it
        with pytest.raises(RecipeError) as error:
            build_freezing(chosen, build(chosen, 2))
        assert error.value.faults == (
            "freezing.vocoder: fine-tuning leaves the vocoder as its base pins it, so only `full` is possible here; "
            "`vczoo train-vocoder` trains a vocoder",
        )
    chosen = Recipe.parse({**recipe().to_plain(), "freezing": {"use": "full", "vocoder": "full"}})
    assert build_freezing(chosen, build(chosen, 2)).heads == {}


def test_only_what_is_named_moves() -> None:
    chosen = Recipe.parse({**recipe().to_plain(), "freezing": {"backbone": "full", "voice": "film-only"}})
    model = build(chosen, 2)
    freezing = build_freezing(chosen, model)
    assert freezing.apply(model, 0) == (0.0, 0.0)
    names = {name for name, value in model.named_parameters() if value.requires_grad}
    film = {name for name in names if name.startswith("heads.voice.")}
    assert film == {name for name, _ in model.named_parameters() if ".film.bias" in name}
    assert {name for name, _ in model.named_parameters() if name.startswith("heads.speaker.")} <= names
    before = tensors(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        sum(value.square().sum() + value.sum() for value in model.parameters() if value.requires_grad).backward()
        optimizer.step()
    assert {name for name, tensor in model.tensors().items() if not torch.equal(tensor, before[name])} == names


def test_a_frozen_head_stays_in_eval_mode() -> None:
    chosen = Recipe.parse({**recipe().to_plain(), "freezing": {"voice": "bitfit", "speaker": "full"}})
    model = build(chosen, 2)
    freezing = build_freezing(chosen, model)
    freezing.apply(model, 0)
    model.train()
    assert not model.heads["speaker"].training
    assert not model.heads["voice"].dropout.training
    freezing.apply(model.eval(), 0)
    assert not model.heads["voice"].training


def test_defaults_are_those_of_each_part() -> None:
    chosen = Recipe.parse({**recipe().to_plain(), "freezing": {"voice": {"use": "lora", "rank": 2}}})
    expected = {"use": "lora", "rank": 2, "alpha": 16.0, "layers": None}
    assert with_defaults(chosen)["freezing"] == {"backbone": {"use": "full"}, "voice": expected}
