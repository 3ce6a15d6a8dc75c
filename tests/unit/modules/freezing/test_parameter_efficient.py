"""Parameter-efficient tuning: only what a strategy names moves, and the outcome is an ordinary part again."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.support.recipes import recipe
from vczoo.audio.frames import Frames
from vczoo.errors import ContractError
from vczoo.models.build import build
from vczoo.modules.freezing.adapters import Adapters
from vczoo.modules.freezing.apply import OneStage, apply_freezing
from vczoo.modules.freezing.l2_sp import L2SP
from vczoo.modules.freezing.selection import BitFit, FilmOnly, Norms
from vczoo.modules.freezing.weight_changes import IA3, DoRA, LoRA
from vczoo.modules.interfaces.freezing import Freezing, HoldsFrozen
from vczoo.modules.interfaces.heads import Source
from vczoo.modules.nn.inserted import InputScale, LowRank, LowRankDirection
from vczoo.testing import check_freezing
from vczoo.testing.checks.expectations import noise


class Net(HoldsFrozen):
    """A convolution, a grouped one, a norm, and linear layers in a list, one of them for a condition."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(6, 8, 3, padding=1)
        self.grouped = nn.Conv1d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.LayerNorm(8)
        self.film = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(2))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.grouped(self.enter(values)).transpose(1, 2))
        hidden = hidden * (1 + self.film(hidden.mean(dim=1, keepdim=True)))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return hidden


def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net()


def train(module: nn.Module, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.05, weight_decay=0.5)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        (module(torch.randn(2, 6, 5, generator=generator)) - 1).square().mean().backward()
        optimizer.step()


LINEARS = {f"blocks.{block}.{layer}.weight" for block in range(2) for layer in (0, 2)}


@pytest.mark.parametrize(
    ("strategy", "moved"),
    [
        (BitFit(), {f"{n}.bias" for n in ("enter", "grouped", "norm", "film")} | {n[:-6] + "bias" for n in LINEARS}),
        (FilmOnly(), {"film.bias"}),
        (Norms(), {"norm.weight", "norm.bias"}),
        (LoRA(rank=2), {"enter.weight", "grouped.weight", "film.weight"} | LINEARS),
        (
            LoRA(rank=2, layers=["part.film", "part.blocks.1.*"]),
            {"film.weight", "blocks.1.0.weight", "blocks.1.2.weight"},
        ),
        (DoRA(rank=2), {"enter.weight", "grouped.weight", "film.weight"} | LINEARS),
        (IA3(), {"enter.weight", "film.weight"} | LINEARS),
        (Adapters(width=2), set()),
        (L2SP(), {name for name, _ in net().named_parameters()}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Freezing) else "",
)
def test_only_what_a_strategy_names_moves(strategy: Freezing, moved: set[str]) -> None:
    module, values = net(), torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(2))
    part = OneStage("part", module)
    before, output = copy.deepcopy(module.state_dict()), module(values)
    strategy.bind(part)
    strategy.prepare(part)
    assert torch.allclose(module(values), output, atol=1e-5)
    assert apply_freezing(part, strategy, 0) == (1.0,)
    train(module.train())
    trained = module.eval()(values)
    strategy.finish(part)
    after = module.state_dict()
    assert {name for name in before if not torch.equal(after[name], before[name])} == moved
    assert strategy.stays or after.keys() == before.keys()
    assert not torch.allclose(trained, output, atol=1e-3)
    assert torch.allclose(module(values), trained, atol=1e-5)


@pytest.mark.parametrize("strategy", [BitFit(), FilmOnly(), LoRA(2), DoRA(2), IA3(), Adapters(), L2SP()])
def test_conformance(strategy: Freezing) -> None:
    check_freezing(strategy)


def test_worked_numbers() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    change = LowRank(weight, rank=1, alpha=2.0)
    with torch.no_grad():
        change.down.copy_(torch.tensor([[1.0, 0.0]]))
        change.up.copy_(torch.tensor([[1.0], [-1.0]]))
    assert change(weight).tolist() == [[5.0, 4.0], [-2.0, 2.0]]
    direction = LowRankDirection(weight, rank=1, alpha=1.0)
    assert direction.magnitude.flatten().tolist() == [5.0, 2.0]
    with torch.no_grad():
        direction.magnitude.mul_(2)
    assert direction(weight).tolist() == [[6.0, 8.0], [0.0, 4.0]]
    scale = InputScale(weight)
    with torch.no_grad():
        scale.scale.copy_(torch.tensor([2.0, 0.5]))
    assert scale(weight).tolist() == [[6.0, 2.0], [0.0, 1.0]]


def test_the_pull_to_the_start() -> None:
    module, strategy = net(), L2SP(alpha=0.5)
    part = OneStage("part", module)
    strategy.prepare(part)
    apply_freezing(part, strategy, 0)
    with torch.no_grad():
        module.film.bias += 2
    penalty = strategy.penalty(part)
    assert penalty is not None
    assert penalty.item() == pytest.approx(0.25 * 8 * 4)
    strategy.finish(part)
    assert strategy.penalty(part) is None


def test_adapters_follow_the_last_layer_of_each_block() -> None:
    module, strategy = net(), Adapters(width=2)
    part = OneStage("part", module)
    names = module.state_dict().keys()
    for _ in range(2):  # a run that has adapters gets no second ones
        strategy.prepare(part)
        added = module.state_dict().keys() - names
        assert {name.rpartition(".")[0] for name in added} == {"blocks.0.2.adapter", "blocks.1.2.adapter"}


@pytest.mark.parametrize("strategy", [BitFit(), LoRA(2), DoRA(2), IA3(), Adapters(4), L2SP(), Norms()])
@pytest.mark.parametrize("use", ["mel-conv", "content-conv"])
def test_backbones(use: str, strategy: Freezing) -> None:
    options = {"use": "mel-conv", "width": 8, "blocks": 1} if use == "mel-conv" else {"use": use, "channels": 8}
    backbone = build(recipe(backbone=options), 2).backbone
    wave = noise(backbone.spec, 20, 1)
    expected = backbone.eval()(wave).values
    strategy = copy.deepcopy(strategy)
    strategy.bind(backbone)
    strategy.prepare(backbone)
    assert any(apply_freezing(backbone, strategy, 0))
    assert torch.allclose(backbone.eval()(wave).values, expected, atol=1e-4)


def test_a_decoder_with_low_rank_changes_decodes_as_before() -> None:
    model = build(recipe(), 2).eval()
    head, strategy = model.heads["voice"], LoRA(rank=1)
    content = Frames.of(torch.randn(1, 9, model.backbone.spec.channels))
    source = Source(content, model.backbone.spec, Frames.of(torch.zeros(1, 12, 2)))
    before = head.decode(source, torch.ones(1, 8)).values
    strategy.prepare(OneStage("voice", head))
    assert torch.allclose(head.decode(source, torch.ones(1, 8)).values, before, atol=1e-5)


class Bare(HoldsFrozen):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (BitFit(), "bitfit trains biases, but this part has none, so nothing would train; its parameters have names"),
        (FilmOnly(), "film-only trains the biases of layers called film"),
        (LoRA(), "this strategy adds low-rank matrices to linear layers and convolutions, but this part has no place"),
        (IA3(), "ia3 scales the input channels of linear layers and convolutions, but this part has no place for them"),
        (Adapters(), "adapters follow linear layers and convolutions, but this part has no place for them, so nothing"),
        (Norms(), "norms trains normalization layers, but this part has none with parameters, so nothing would train"),
    ],
)
def test_nothing_to_train(strategy: Freezing, message: str) -> None:
    with pytest.raises(ContractError) as error:
        strategy.bind(OneStage("part", Bare()))
    assert str(error.value).startswith(message)


def test_a_pattern_that_matches_no_layer() -> None:
    with pytest.raises(
        ContractError, match=r"no layer that could be changed matches 'part\.flim'; their names are such"
    ):
        LoRA(2, layers=["part.flim"]).bind(OneStage("part", net()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LoRA(rank=0), "rank must be 1 to 4096, got 0"),
        (lambda: LoRA(alpha=0), "alpha must be above 0 and at most 1000, got 0"),
        (lambda: IA3(layers=[]), "layers is empty, so nothing would train; leave it out, or use the strategy full"),
        (lambda: Adapters(width=0), "width must be 1 to 4096, got 0"),
        (lambda: L2SP(alpha=float("nan")), "alpha must be above 0 and at most 1000, got nan"),
    ],
)
def test_options_out_of_range(make, message: str) -> None:
    with pytest.raises(ContractError) as error:
        make()
    assert str(error.value) == message
