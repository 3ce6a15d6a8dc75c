from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.freezing.apply import apply_freezing
from vczoo.modules.freezing.selection import Norms, Selected
from vczoo.modules.freezing.stages import Discriminative, Full, Gradual, None_, Partial, ProbeThenTune
from vczoo.modules.interfaces.backbone import Backbone, Freezing
from vczoo.registry.zoo import the_zoo
from vczoo.testing import check_freezing

# Every family of backbone: BatchNorm1d, BatchNorm2d in a chain and in residual blocks, timm's BatchNormAct2d.
FAMILIES = ("mel-conv", "torchvision/vgg11_bn", "torchvision/resnet18", "timm/tf_efficientnet_lite0")


@pytest.mark.parametrize(
    ("strategy", "num_stages", "epoch", "expected"),
    [
        (None_(), 3, 0, (1, 1, 1)),
        (Norms(), 3, 9, (1, 1, 1)),
        (Full(), 3, 9, (0, 0, 0)),
        (Partial(), 4, 0, (0, 0, 0, 1)),
        (Partial(2), 4, 9, (0, 0, 1, 1)),
        (Partial(0), 2, 0, (0, 0)),
        (Partial(2), 2, 0, (1, 1)),
        (Gradual(), 3, 0, (0, 0, 0)),
        (Gradual(), 3, 1, (0, 0, 1)),
        (Gradual(4), 3, 3, (0, 0, 0)),
        (Gradual(4), 3, 4, (0, 0, 1)),
        (Gradual(4), 3, 11, (0, 1, 1)),
        (Gradual(4), 3, 100, (1, 1, 1)),
        (Discriminative(), 3, 0, (1 / 2.6**2, 1 / 2.6, 1)),
        (Discriminative(2.0), 4, 5, (0.125, 0.25, 0.5, 1)),
        (Discriminative(1.0), 2, 0, (1, 1)),
        (ProbeThenTune(2), 2, 1, (0, 0)),
        (ProbeThenTune(2), 2, 2, (1, 1)),
        (Selected([1, -1]), 4, 9, (0, 1, 0, 1)),
        (Selected(parameters=["*.bias"]), 2, 0, (1, 1)),
    ],
)
def test_multipliers(strategy, num_stages, epoch, expected) -> None:
    assert strategy.multipliers(num_stages, epoch) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Partial(-1), "trainable_stages must be 0 or more, got -1"),
        (lambda: ProbeThenTune(0), "probe_epochs must be 1 to 100000, got 0"),
        (lambda: Gradual(0), "every_epochs must be 1 to 100000, got 0"),
        (lambda: Gradual(10**21), "every_epochs must be 1 to 100000, got 1000000000000000000000"),
        (lambda: Discriminative(1e308), "decay must be 1 to 1000, got 1e+308"),
        (lambda: Discriminative(0.9), "decay must be 1 to 1000, got 0.9"),
        (lambda: Discriminative(math.nan), "decay must be 1 to 1000, got nan"),
        (
            lambda: Selected(),
            "select what trains: stages, by name or index as in [layer4, -1], or patterns of parameters as in "
            "['*.bias']",
        ),
        (
            lambda: Selected(["stem"], []),
            "parameters is empty, so nothing would train; leave it out, or use the strategy full",
        ),
        (
            lambda: Selected(["stem"]).multipliers(2, 0),
            "stages are selected by name; call bind with the backbone first",
        ),
    ],
)
def test_arguments_out_of_range(make, part) -> None:
    with pytest.raises(ContractError) as error:
        make()
    assert str(error.value) == part


def test_more_stages_than_the_backbone_has() -> None:
    with pytest.raises(ContractError, match="trainable_stages is 9, but the backbone has 5 stages; choose 0 to 5"):
        Partial(9).multipliers(5, 0)


class Wrong(Freezing):
    def __init__(self, *multipliers: float) -> None:
        self.found = multipliers

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        return self.found


@pytest.mark.parametrize("multipliers", [(), (1.0,), (1.0, 1.0, 1.0), (1.0, -1.0), (1.0, math.nan)])
def test_a_strategy_that_breaks_its_promise(multipliers) -> None:
    with pytest.raises(ContractError, match=r"Wrong\.multipliers must return one .* per stage, each 0 or more; got"):
        apply_freezing(build("mel-conv", width=4, blocks=1), Wrong(*multipliers), 0)
    with pytest.raises(ContractError):
        check_freezing(Wrong(*multipliers))


def build(name: str, **options: object) -> Backbone:
    prefix = name.partition("/")[0] if "/" in name else ""
    if prefix:
        pytest.importorskip(f"vczoo_{prefix}")
    entry, _ = the_zoo().find("backbone", name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone: Backbone = entry.load()(**entry.arguments, weights="random", **options)
    return backbone


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def moved(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def fine_tune(backbone: Backbone, steps: int = 3) -> None:
    """Real steps in train mode, with a weight decay that would move whatever has a gradient of 0."""
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=0.01, weight_decay=0.5)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        backbone.train()  # as a training loop does after each validation
        wave = Waveform.of(torch.rand(2, 4000, generator=generator) - 0.5, 16000)
        loss = backbone(wave).values.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("name", FAMILIES)
def test_frozen_stages_are_bit_identical_and_the_others_move(name) -> None:
    backbone = build(name)
    *frozen, free = backbone.stages()
    assert apply_freezing(backbone, Partial(1), 0) == (0.0,) * len(frozen) + (1.0,)
    before = {stage.name: tensors(stage.module) for stage in backbone.stages()}
    assert any("running_mean" in name for kept in frozen for name in before[kept.name])
    fine_tune(backbone)
    for stage in frozen:
        assert moved(stage.module, before[stage.name]) == set(), stage.name
        assert not any(module.training for module in stage.module.modules())
        assert not any(parameter.requires_grad for parameter in stage.module.parameters())
    assert moved(free.module, before[free.name]) == set(before[free.name])  # running statistics included
    assert all(module.training for module in free.module.modules())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_frozen_stage_stays_in_eval_mode_through_every_call(name) -> None:
    backbone = build(name)
    apply_freezing(backbone, Full(), 0)
    outer = nn.ModuleDict({"backbone": backbone, "other": nn.Dropout()})
    for call in (backbone.train, outer.train, lambda: outer.eval().train(), lambda: outer.train(True)):
        call()
        assert not any(module.training for stage in backbone.stages() for module in stage.module.modules())
    assert outer["other"].training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_gradual_thaws_what_it_froze() -> None:
    backbone = build("mel-conv", width=4, blocks=2).train()
    for epoch, thawed in enumerate(([], ["block2"], ["block1", "block2"], ["stem", "block1", "block2"])):
        apply_freezing(backbone, Gradual(), epoch)
        for stage in backbone.stages():
            free = stage.name in thawed
            assert {module.training for module in stage.module.modules()} == {free}
            assert {parameter.requires_grad for parameter in stage.module.parameters()} == {free}
    backbone.eval()
    apply_freezing(backbone, None_(), 0)
    assert not backbone.training
    assert not any(module.training for stage in backbone.stages() for module in stage.module.modules())


@pytest.mark.parametrize("name", FAMILIES)
def test_norms_trains_normalisation_alone(name) -> None:
    backbone = build(name)
    assert apply_freezing(backbone, Norms(), 0) == (1.0,) * len(backbone.stages())
    before = tensors(backbone)
    fine_tune(backbone)
    norms = {
        f"{prefix}.{key}"
        for prefix, module in backbone.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for key in module.state_dict()
    }
    assert norms
    assert moved(backbone, before) == norms


class WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.LayerNorm(3), nn.GroupNorm(1, 3))
        self.scale = nn.Parameter(torch.ones(3))


def test_norms_knows_every_normalisation_layer_and_nothing_else() -> None:
    backbone = build("mel-conv", width=3, blocks=1)
    backbone.trunk["block1"] = WithDropout()  # type: ignore[operator, index]
    apply_freezing(backbone, Norms(), 0)
    backbone.train()
    block = backbone.stages()[1].module
    assert {name for name, parameter in block.named_parameters() if parameter.requires_grad} == {
        "body.2.weight",
        "body.2.bias",
        "body.3.weight",
        "body.3.bias",
    }
    assert [module.training for module in block.body] == [False, False, True, True]  # type: ignore[union-attr]


def test_a_stage_of_which_nothing_trains_is_frozen() -> None:
    backbone = build("mel-conv", width=3, blocks=1)
    backbone.trunk["block1"] = nn.Sequential(nn.Conv1d(3, 3, 1), nn.Dropout())  # type: ignore[operator, index]
    assert apply_freezing(backbone, Norms(), 0) == (1.0, 0.0)
    backbone.train()
    assert not any(module.training for module in backbone.stages()[1].module.modules())


def trained_names(backbone: Backbone) -> set[str]:
    return {
        f"{stage.name}.{name}"
        for stage in backbone.stages()
        for name, parameter in stage.module.named_parameters()
        if parameter.requires_grad
    }


def test_selected_stages_train_by_name_and_by_index() -> None:
    backbone = build("torchvision/resnet18")
    strategy = Selected(["layer1", -1])
    strategy.bind(backbone)
    assert strategy.multipliers(5, 3) == apply_freezing(backbone, strategy, 3) == (0, 1, 0, 0, 1)
    before = {stage.name: tensors(stage.module) for stage in backbone.stages()}
    fine_tune(backbone)
    changed = [stage.name for stage in backbone.stages() if moved(stage.module, before[stage.name])]
    assert changed == ["layer1", "layer4"]  # layer2 and layer3 pass the gradient on


def test_selected_parameters_train_and_other_modules_keep_their_statistics() -> None:
    backbone = build("torchvision/resnet18")
    strategy = Selected(["layer3", "layer4"], ["*.bn1.bias", "layer4.1.*"])
    strategy.bind(backbone)
    assert apply_freezing(backbone, strategy, 0) == (0, 0, 0, 1, 1)
    last = {f"layer4.1.{name}" for name, _ in backbone.stages()[-1].module[1].named_parameters()}  # type: ignore[index]
    biases = {f"{stage}.{block}.bn1.bias" for stage in ("layer3", "layer4") for block in (0, 1)}
    assert trained_names(backbone) == last | biases
    before = tensors(backbone)
    fine_tune(backbone)
    learning = {f"trunk.{name}" for name in last | biases}
    norms = {name.rpartition(".")[0] for name in learning if ".bn" in name}
    statistics = {f"{norm}.{s}" for norm in norms for s in ("running_mean", "running_var", "num_batches_tracked")}
    assert moved(backbone, before) == learning | statistics


def test_a_stage_without_a_matching_parameter_is_frozen() -> None:
    backbone = build("torchvision/resnet18")
    strategy = Selected(parameters=["layer2.*.weight"])
    strategy.bind(backbone)
    assert strategy.multipliers(5, 0) == apply_freezing(backbone, strategy, 0) == (0, 0, 1, 0, 0)


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        (
            Selected(["layr4"]),
            "the backbone has no stage 'layr4'; did you mean 'layer4' or 'layer3' or 'layer2'? Its 5 stages: stem, "
            "layer1, layer2, layer3, layer4; by index 0 to 4, or -5 to -1",
        ),
        (
            Selected([5]),
            "the backbone has no stage 5. Its 5 stages: stem, layer1, layer2, layer3, layer4; by index 0 to 4, or -5 "
            "to -1",
        ),
        (
            Selected(["layer1", -1], ["*.bias", "*.beta"]),
            "no parameter of the stages layer1, layer4 matches '*.beta'; their parameters have names such as "
            "layer1.0.conv1.weight, layer4.0.conv1.weight",
        ),
    ],
)
def test_a_selection_that_is_not_there(strategy: Selected, text: str) -> None:
    with pytest.raises(ContractError) as error:
        strategy.bind(build("torchvision/resnet18"))
    assert str(error.value) == text
