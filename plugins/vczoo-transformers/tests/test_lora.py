"""LoRA: what is frozen stays as it is, what runs is adapted, and what was learnt ends in the weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vczoo
from vczoo import Frames, FrameSpec, Stage, Waveform
from vczoo.modules.freezing.apply import apply_freezing
from vczoo_transformers.build import build_auto
from vczoo_transformers.lora import Lora

Small = Callable[[str], tuple[Any, Path]]
FAMILIES = ("whisper", "hubert", "wavlm", "w2v-bert")


def free(backbone: vczoo.Backbone) -> list[str]:
    return [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]


def train(backbone: vczoo.Backbone, wave: Waveform) -> None:
    parameters = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    backbone.train()
    for _ in range(3):
        optimizer.zero_grad()
        backbone(wave).values[..., :4].square().mean().backward()
        assert all(parameter.grad is not None for parameter in parameters)
        optimizer.step()
    backbone.eval()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_fine_tune_changes_the_adapters_alone(small: Small, wave: Waveform, name: str) -> None:
    backbone = build_auto(str(small(name)[1]), layer=2).eval()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    frames = backbone(wave).values.detach()
    strategy = Lora(rank=2)
    strategy.prepare(backbone)
    assert torch.allclose(backbone(wave).values, frames, atol=1e-5)
    apply_freezing(backbone, strategy, 0)
    assert free(backbone)
    assert all("lora_" in name for name in free(backbone))
    held = {
        key: value.clone() for key, value in backbone.state_dict().items() if "lora_" not in key and value.numel() > 0
    }
    train(backbone, wave)
    assert all(torch.equal(backbone.state_dict()[key], value) for key, value in held.items())
    adapted = backbone(wave).values.detach()
    assert not torch.allclose(adapted, frames, atol=1e-3)
    strategy.finish(backbone)
    assert backbone.state_dict().keys() == before.keys()
    assert torch.allclose(backbone(wave).values, adapted, atol=1e-5)
    after = backbone.state_dict()
    changed = {key.rpartition(".")[0] for key, value in before.items() if not torch.equal(after[key], value)}
    assert changed
    assert all(isinstance(backbone.get_submodule(key), nn.Linear) for key in changed)


def test_a_second_fine_tune_starts_where_the_first_ended(small: Small, wave: Waveform) -> None:
    backbone = build_auto(str(small("hubert")[1]), layer=1).eval()
    for _ in range(2):
        strategy = Lora(rank=2)
        strategy.prepare(backbone)
        apply_freezing(backbone, strategy, 0)
        train(backbone, wave)
        strategy.finish(backbone)
    assert not any("lora" in name for name in backbone.state_dict())


@pytest.mark.parametrize(("name", "adapted"), [("hubert", True), ("wavlm", False)])
def test_layers_whose_weights_are_only_read_get_no_adapter(small: Small, name: str, adapted: bool) -> None:
    backbone = build_auto(str(small(name)[1]))
    Lora().prepare(backbone)
    assert any("q_proj.lora_A" in name for name in backbone.state_dict()) is adapted
    assert any("intermediate_dense.lora_A" in name for name in backbone.state_dict())


def test_targets_name_the_layers(small: Small) -> None:
    backbone = build_auto(str(small("hubert")[1]))
    Lora(targets=("q_proj", "v_proj")).prepare(backbone)
    adapted = {name.split(".lora_A")[0].rpartition(".")[2] for name in backbone.state_dict() if "lora_A" in name}
    assert adapted == {"q_proj", "v_proj"}


def test_targets_that_do_not_run(small: Small) -> None:
    with pytest.raises(vczoo.ContractError, match=r"called q_proj runs .* these do: .*intermediate_dense"):
        Lora(targets=("q_proj",)).prepare(build_auto(str(small("wavlm")[1])))


@pytest.mark.parametrize(("stages", "adapted"), [(None, {"features", "layer1", "layer2"}), (1, {"layer2"})])
def test_trainable_stages_count_from_the_last(small: Small, stages: int | None, adapted: set[str]) -> None:
    backbone = build_auto(str(small("hubert")[1]), layer=2, stage_layers=1)
    strategy = Lora(trainable_stages=stages)
    strategy.prepare(backbone)
    assert {name.split(".")[1] for name in backbone.state_dict() if "lora_A" in name} == adapted
    multipliers = apply_freezing(backbone, strategy, 0)
    assert [bool(value) for value in multipliers] == [name in adapted for name in ("features", "layer1", "layer2")]


def test_more_stages_than_the_backbone_has() -> None:
    with pytest.raises(vczoo.ContractError, match="trainable_stages is 4, but the backbone has 3 stages"):
        Lora(trainable_stages=4).multipliers(3, 0)


@pytest.mark.parametrize("option", ["rank", "alpha", "trainable_stages"])
def test_options_out_of_range(option: str) -> None:
    with pytest.raises(vczoo.ContractError, match=f"{option} is 1 or more.*got 0"):
        Lora(**{option: 0})  # type: ignore[arg-type]


def test_an_adapter_that_diverged(small: Small) -> None:
    backbone = build_auto(str(small("hubert")[1]), layer=1)
    strategy = Lora()
    strategy.prepare(backbone)
    with torch.no_grad():
        next(p for name, p in backbone.named_parameters() if "lora_B" in name).fill_(torch.nan)
    with pytest.raises(vczoo.ContractError, match="holds NaN or infinity"):
        strategy.finish(backbone)


class Convolved(vczoo.Backbone):
    """A backbone without a linear layer."""

    spec = FrameSpec(16000, 320, 4)

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, 4, 320, 320)

    def stages(self) -> tuple[Stage, ...]:
        return (Stage("convolution", self.convolution),)

    def prepare(self, wave: Waveform) -> Tensor:
        return wave.samples[:, None]

    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        return Frames(activation.transpose(1, 2), lengths)


def test_a_backbone_without_linear_layers() -> None:
    with pytest.raises(vczoo.ContractError, match="LoRA adapts linear layers"):
        Lora().prepare(Convolved())
