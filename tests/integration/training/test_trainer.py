"""The trainer by itself, on a small regression: resuming, averages, selection and callbacks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import vczoo
from vczoo.errors import ContractError, RunError, VczooError
from vczoo.training import trainer as loop

INPUTS = torch.linspace(-1, 1, 24).view(12, 2)


class Regression(vczoo.Trainable):
    """Learns a sum, with noise in every step, in three epochs of four steps."""

    steps_per_epoch, total_steps, seed = 4, 12, 5

    def __init__(self, rate: float = 0.05) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.modules = nn.ModuleDict({"line": nn.Linear(2, 1), "critic": nn.Linear(1, 1)})
        self.optimizers = {"adam": torch.optim.Adam(self.modules.parameters(), rate)}
        self.loader = DataLoader(TensorDataset(INPUTS, INPUTS.sum(1, keepdim=True)), batch_size=3, shuffle=True)

    @property
    def weights(self) -> nn.Module:
        return self.modules["line"]

    def batches(self, epoch: int, first: int) -> Iterable[Any]:
        return islice(self.loader, first, None)

    def step(self, batch: Any, number: int) -> Mapping[str, Tensor]:
        inputs, targets = batch
        outputs = self.modules["line"](inputs + 0.1 * torch.randn_like(inputs))
        loss = (outputs - targets).square().mean() + self.modules["critic"](outputs).square().mean()
        (optimizer,) = self.optimizers.values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    def validate(self) -> dict[str, float]:
        with torch.no_grad():
            return {"loss": float((self.modules["line"](INPUTS) - INPUTS.sum(1, keepdim=True)).square().mean())}


class Seen(vczoo.Callback):
    """Records what it is called with, and raises after a number of steps."""

    def __init__(self, steps: int = 100, error: type[BaseException] = MemoryError) -> None:
        self.left, self.error, self.calls = steps, error, [""]

    def start(self, trainer: Any) -> None:
        self.calls.append(f"start {trainer.state.epoch}")

    def step(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error

    def validated(self, figures: Mapping[str, float]) -> None:
        self.calls.append("validated")

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.calls.append(f"epoch {record['epoch']}")

    def end(self) -> None:
        self.calls.append("end")


def weights(trainable: vczoo.Trainable) -> dict[str, Tensor]:
    return dict(trainable.modules.state_dict())


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_it_trains_calls_back_and_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen, trainable = Seen(), Regression()
    with caplog.at_level("INFO", "vczoo"):
        state = vczoo.Trainer(trainable, tmp_path / "out", [seen]).fit()
    loss = state.history[0]["validation"]["loss"]
    assert caplog.messages[0] == f"{tmp_path / 'out'}: epoch 1 of 3: loss {loss:.4g}"
    epochs = [text for number in range(3) for text in ("validated", f"epoch {number}")]
    assert seen.calls[1:] == ["start 0", *epochs, "end"]
    records = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert records == state.history
    assert records[2]["validation"]["loss"] < 0.5 * records[0]["validation"]["loss"]
    assert trainable.validate() == records[2]["validation"]


@pytest.mark.parametrize("average", [0.0, 0.8])
@pytest.mark.parametrize("steps", [1, 4, 7, 12])
def test_a_crash_is_resumed_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, average: float, steps: int
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    whole, cut = Regression(), Regression()
    vczoo.Trainer(whole, tmp_path / "whole", [vczoo.Selection()], average=average).fit()
    seen = Seen(steps)
    with pytest.raises(MemoryError):
        vczoo.Trainer(cut, tmp_path / "cut", [vczoo.Selection(), seen], average=average).fit()
    assert seen.calls[-1] == "end"
    cut = Regression()
    vczoo.Trainer(cut, tmp_path / "cut", [vczoo.Selection()], average=average).fit()
    assert same(weights(whole), weights(cut))
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    losses = [[json.loads(line)["validation"] for line in log] for log in logs]
    assert losses[0] == losses[1]


def test_the_average_is_an_exponential_one_and_covers_the_weights_only(tmp_path: Path) -> None:
    class Watched(Regression):
        lines: list[Tensor]

        def step(self, batch: Any, number: int) -> Mapping[str, Tensor]:
            figures = super().step(batch, number)
            self.lines = [*getattr(self, "lines", []), self.modules["line"].weight.detach().clone()]
            return figures

    plain, averaged = Regression(), Watched()
    vczoo.Trainer(plain, tmp_path / "plain").fit()
    vczoo.Trainer(averaged, tmp_path / "averaged", average=0.9).fit()
    expected, *later = averaged.lines
    for line in later:
        expected = 0.9 * expected + 0.1 * line
    torch.testing.assert_close(averaged.modules["line"].weight.detach(), expected)
    assert torch.equal(averaged.lines[-1], plain.modules["line"].weight)  # training itself is the same
    assert same(weights(plain), weights(averaged)) is False
    assert torch.equal(plain.modules["critic"].weight, averaged.modules["critic"].weight)


def test_the_best_weights_are_kept_and_patience_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 2.0, 2.5, 1.0])
    trainable = Regression()
    trainable.total_steps = 16
    lines: list[Tensor] = []

    def validate() -> dict[str, float]:
        lines.append(trainable.modules["line"].weight.detach().clone())
        return {"loss": next(losses)}

    monkeypatch.setattr(trainable, "validate", validate)
    state = vczoo.Trainer(trainable, tmp_path, [vczoo.Selection(patience=1)]).fit()
    assert len(state.history) == 3
    assert state.best_epoch == 1
    assert torch.equal(trainable.modules["line"].weight, lines[1])


def test_a_checkpoint_holds_the_whole_state(tmp_path: Path) -> None:
    vczoo.Trainer(Regression(), tmp_path, [vczoo.Selection()], average=0.9).fit()
    groups = {name.split(".")[0] for name in load_file(tmp_path / "checkpoint.safetensors")}
    assert groups >= {"modules", "average", "kept"}
    with pytest.raises(RunError, match="started with another average of the weights"):
        vczoo.Trainer(Regression(), tmp_path, [vczoo.Selection()]).fit()


def test_divergence_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(VczooError, match=r"at epoch 0, step \d of 4: training diverged\. Lower the learning rate"):
        vczoo.Trainer(Regression(rate=1e30), tmp_path).fit()


def test_what_a_trainable_lacks_is_named(tmp_path: Path) -> None:
    class Bare(vczoo.Trainable):
        modules = nn.Linear(1, 1)

    with pytest.raises(ContractError, match="Bare has no optimizers, steps_per_epoch, total_steps; set these"):
        vczoo.Trainer(Bare(), tmp_path)
    for name, value, text in (
        ("steps_per_epoch", 0, "must be 1 or more, .* got 0 and 12"),
        ("optimizers", {"a.b": None}, "'a.b' is not an identifier"),
    ):
        trainable = Regression()
        setattr(trainable, name, value)
        with pytest.raises(ContractError, match=text):
            vczoo.Trainer(trainable, tmp_path)
    trainable = Regression()
    trainable.step = lambda batch, number: {"mse": torch.ones(())}  # type: ignore[method-assign]
    with pytest.raises(ContractError, match="step must return a mapping with `loss`; got mse"):
        vczoo.Trainer(trainable, tmp_path).fit()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.safetensors"}
