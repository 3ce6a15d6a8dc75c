from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.support.recipes import recipe
from vczoo.errors import RecipeError, WeightsError
from vczoo.models.build import build, build_freezing, check, checked_recipe
from vczoo.models.recipe import read_recipe
from vczoo.modules.freezing.stages import Partial
from vczoo.registry.zoo import the_zoo


@pytest.fixture(autouse=True)
def no_network(monkeypatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing here needs the network")

    monkeypatch.setattr(socket, "socket", refuse)


def test_build_decides_sizes_from_the_data_and_weights_from_the_random_state() -> None:
    torch.manual_seed(0)
    first = build(recipe(), 5)
    assert first.speaker_heads["speaker"].num_speakers == 5
    assert first.voice_heads["voice"].embedding_width == 8  # type: ignore[comparison-overlap]
    assert first.loss_weights == {"speaker": 1.0, "voice": 1.0}
    assert first.base == {}
    torch.manual_seed(0)
    second = build(recipe(), 5)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with pytest.raises(RecipeError, match="has no such option"):
        build(recipe(backbone__widht=1), 5)


def test_weights_from_a_file_are_loaded_and_fingerprinted(tmp_path) -> None:
    source = build(recipe(), 2).backbone
    path = tmp_path / "w.safetensors"
    save_file(source.trunk.state_dict(), path)  # type: ignore[operator, union-attr, arg-type]
    model = build(recipe(backbone__weights=str(path)), 2)
    assert torch.equal(next(model.backbone.parameters()), next(source.parameters()))
    assert set(model.base) == {name for name in model.tensors() if name.startswith("backbone.")}
    without = build(recipe(backbone__weights=str(path)), 2, random=["backbone"])
    assert without.base == {}
    assert not torch.equal(next(without.backbone.parameters()), next(source.parameters()))
    with pytest.raises(WeightsError, match="does not fit"):
        build(recipe(backbone__weights=str(path), backbone__width=4), 2)


def test_freezing_is_built_apart() -> None:
    strategy = build_freezing(recipe()).backbone
    assert isinstance(strategy, Partial)
    assert strategy.trainable_stages == 1
    with pytest.raises(RecipeError, match="trainable_stages"):
        build_freezing(recipe(freezing__trainable_stages=-1))


@pytest.mark.parametrize("name", ["demo", "demo-knn", "efficientnet-partialfreeze", "efficientnet-speaker"])
def test_recipes_of_the_zoo_are_checked_without_their_pretrained_weights(name) -> None:
    if name.startswith("efficientnet"):
        pytest.importorskip("vczoo_timm")
    assert name in [found.name for found in the_zoo().recipes()]
    assert checked_recipe(name).name == name


def test_the_weights_option_wins_over_the_tag() -> None:
    pytest.importorskip("vczoo_timm")
    tagged = {"use": "timm/resnet10t.c3_in1k"}
    check(recipe(backbone=tagged))
    assert build(recipe(backbone=tagged | {"weights": "random"}), 2).base == {}
    with pytest.raises(RecipeError, match="has no weights 'c3_in2k'; did you mean 'c3_in1k'"):
        check(recipe(backbone={"use": "timm/resnet10t.c3_in2k"}))


def test_weights_that_cannot_be_had_are_an_error_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("vczoo_torchvision")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"IMAGENET1K_V1 \(553 MB, https://\S+vgg16\S+\)(?s:.*)1\.(?s:.*)2\.(?s:.*)3\."
    ):
        build(read_recipe("vgg16-partialfreeze"), 2)
