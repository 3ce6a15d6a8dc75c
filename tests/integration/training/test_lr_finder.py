"""The learning-rate range test: what is read off the losses, and that it leaves nothing behind."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import vczoo
from vczoo.cli.app import main
from vczoo.errors import RecipeError, RunError, VczooError
from vczoo.models.build import checked_recipe
from vczoo.training import lr_finder as rate_finder
from vczoo.training import session
from vczoo.training.lr_finder import HIGHEST, LOWEST, RateSearch, find_learning_rate


@pytest.fixture
def quick(small: tuple[str, ...]) -> list[str]:
    return [*small, "heads.voice=null", "vocoder=null"]


def rates(count: int) -> list[float]:
    return [LOWEST * (HIGHEST / LOWEST) ** (number / (count - 1)) for number in range(count)]


def test_the_mean_forgets_and_starts_at_the_first_loss() -> None:
    smoothed = rate_finder._smooth([4.0, 1.0, 1.0])
    assert smoothed[0] == pytest.approx(4.0)
    assert smoothed[1] == pytest.approx((0.98 * 4 + 1) / 1.98)
    assert smoothed[2] == pytest.approx((0.98**2 * 4 + 0.98 + 1) / (0.98**2 + 0.98 + 1))


def test_two_rates_are_read_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a curve that is flat, falls about 1e-3, is lowest at 1e-1 and rises."""
    monkeypatch.setattr(rate_finder, "_smooth", list)
    decades = [math.log10(rate) for rate in rates(161)]  # 20 steps a decade
    losses = [3 - 2 / (1 + math.exp(-4 * (at + 3))) + max(0.0, at + 1) for at in decades]
    found = RateSearch.of(rates(161), losses)
    assert found.steepest == pytest.approx(1e-3, rel=0.15)
    assert found.tenth == pytest.approx(1e-2, rel=0.15)
    assert found.override == f"training.learning_rate={float(f'{found.steepest:.1e}')}"  # the lower of the two
    assert [row["because"] for row in found.rows()] == [
        "the loss falls fastest",
        "a tenth of the rate with the lowest loss",
    ]
    assert f"training.learning_rate={found.rows()[0]['learning rate']}" == found.override  # the same figures
    assert "losses" not in repr(found)
    assert checked_recipe("demo", [found.override]).training.learning_rate == pytest.approx(1e-3, rel=0.15)


def test_the_ends_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_finder, "_smooth", list)
    losses = [*(9.0 - number for number in range(9)), *(5.0 - number / 100 for number in range(26)), *[0.0] * 5]
    losses[20] -= 1.0
    found = RateSearch.of(rates(40), losses)
    assert found.steepest == rates(40)[19]
    assert found.tenth == rates(40)[20] / 10


def test_a_loss_that_tells_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VczooError, match="diverged already at a learning rate of 1e-06, after 6 steps"):
        RateSearch.of(rates(41)[:6], [1.0] * 6)
    with pytest.raises(VczooError, match="diverged already at a learning rate of 1e-07, after 0 steps"):
        RateSearch.of([], [])
    with pytest.raises(VczooError, match=r"fell at no learning rate from 1e-05 to 1\b.*more steps"):
        RateSearch.of(rates(41), [1.0 + number / 100 for number in range(41)])


def test_the_loss_falls_where_it_says(tmp_path: Path, voices_folder: Path, quick: list[str]) -> None:
    """At the rate that it gives, the demo learns; at a hundredth of it, hardly."""
    found = find_learning_rate("demo", voices_folder, quick, steps=60, progress=False)
    rate = float(found.override.partition("=")[2])
    assert rate == pytest.approx(min(found.steepest, found.tenth), rel=0.06)
    assert 1e-4 < rate < 1
    lasts = []
    for tried in (rate, rate / 100):
        told = [*quick, f"training.learning_rate={tried}", "training.epochs=8", "training.patience=8"]
        vczoo.finetune("demo", voices_folder, tmp_path / str(tried), told, progress=False)
        log = (tmp_path / str(tried) / "metrics.jsonl").read_text()
        lasts.append(json.loads(log.splitlines()[-1])["train"]["loss"])
    assert lasts[0] < 0.7 * lasts[1]


def test_nothing_is_left_but_the_plot(
    tmp_path: Path, voices_folder: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in voices_folder.rglob("*")}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = find_learning_rate("demo", voices_folder, quick, steps=40, progress=False)
    assert torch.equal(torch.rand(3), expected)
    assert list(tmp_path.iterdir()) == []
    second = find_learning_rate("demo", voices_folder, quick, steps=40, out="plots/rates.png", progress=False)
    assert second == first
    assert [path.name for path in tmp_path.rglob("*")] == ["plots", "rates.png"]
    assert (tmp_path / "plots" / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert {path: path.stat().st_mtime_ns for path in voices_folder.rglob("*")} == before
    with pytest.raises(RunError, match=r"plots/rates\.png exists; choose another file"):
        find_learning_rate("demo", voices_folder, quick, out="plots/rates.png", progress=False)


def test_the_recipes_own_batches_freezing_and_rates_are_used(
    voices_folder: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[Any] = []
    kept: dict[str, dict[str, torch.Tensor]] = {}
    begin = session.build_initial_model

    def remembered(*arguments: Any) -> Any:
        begun = begin(*arguments)
        models.append(begun.model)
        for stage in models[0].backbone.stages():
            kept[stage.name] = {name: value.clone() for name, value in stage.module.state_dict().items()}
        return begun

    seen: list[tuple[float, list[float]]] = []
    sizes: list[int] = []
    set_rates, train_step = rate_finder.set_rates, rate_finder.train_step

    def note_rates(optimizer: Any, rate: float, backbone: float, multipliers: Any) -> None:
        set_rates(optimizer, rate, backbone, multipliers)
        seen.append((rate, [group["lr"] for group in optimizer.param_groups]))

    def note_size(step: Any, optimizer: Any, batch: Any, *rest: Any) -> Any:
        sizes.append(len(batch.speakers))
        return train_step(step, optimizer, batch, *rest)

    monkeypatch.setattr(session, "build_initial_model", remembered)
    monkeypatch.setattr(rate_finder, "set_rates", note_rates)
    monkeypatch.setattr(rate_finder, "train_step", note_size)
    told = [*quick, "freezing.use=partial", "freezing.trainable_stages=1", "training.backbone_rate=0.5"]
    found = find_learning_rate("demo", voices_folder, told, steps=40, progress=False)
    assert [rate for rate, _ in seen] == pytest.approx(rates(40)[: len(seen)])
    assert all(groups[-2:] == pytest.approx([rate / 2, rate]) for rate, groups in seen)
    assert all(not any(groups[:-2]) for _, groups in seen)
    assert max(sizes) == 4
    assert sizes.count(4) > len(sizes) / 2
    assert len(found.rates) <= 40
    (model,) = models
    *frozen, trained = model.backbone.stages()
    for stage in (*frozen, trained):
        before = kept[stage.name]
        same = [torch.equal(value, before[name]) for name, value in stage.module.state_dict().items()]
        assert all(same) == (stage is not trained)


def test_it_stops_where_the_loss_diverges(
    voices_folder: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([2.0 - 0.05 * number for number in range(30)] + [1e3] * 10)
    monkeypatch.setattr(rate_finder, "train_step", lambda *_: {"loss": torch.tensor(next(losses))})
    found = find_learning_rate("demo", voices_folder, quick, steps=40, progress=False)
    assert len(found.rates) == 31
    assert found.losses[-1] == 1e3


def test_a_loss_that_is_not_finite_ends_it(
    voices_folder: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_step, asked = rate_finder.train_step, list[int]()

    def overflows(*arguments: Any) -> Any:
        asked.append(len(asked))
        found = train_step(*arguments)
        return found | {"loss": found["loss"] * math.inf} if len(asked) > 47 else found

    monkeypatch.setattr(rate_finder, "train_step", overflows)
    found = find_learning_rate("demo", voices_folder, quick, steps=60, progress=False)
    assert len(asked) == 48
    assert len(found.losses) == 47
    assert all(math.isfinite(value) for value in found.losses)


def test_a_run_is_taken_as_where_it_is_tuned(trained_folder: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    before = {path.name: path.read_bytes() for path in trained_folder.iterdir()}
    found = find_learning_rate(trained_folder, voices_folder, steps=40, progress=False)
    fresh = find_learning_rate("demo", voices_folder, small, steps=40, progress=False)
    assert found.losses[0] < 0.7 * fresh.losses[0]  # it starts from the run's weights
    assert {path.name: path.read_bytes() for path in trained_folder.iterdir()} == before


def test_what_cannot_be_searched_is_told(tmp_path: Path, voices_folder: Path, quick: list[str]) -> None:
    with pytest.raises(VczooError, match="at least 40 steps, got 5"):
        find_learning_rate("demo", voices_folder, quick, steps=5)
    (tmp_path / "knn.yaml").write_text(
        "summary: kNN alone\nbackbone: {use: mel-conv, width: 8}\nfreezing: {use: full}\n"
        "heads: {voice: {use: knn}}\nvocoder: {use: griffin-lim, iterations: 2}\n"
    )
    with pytest.raises(RecipeError, match="nothing in it trains"):
        find_learning_rate(tmp_path / "knn.yaml", voices_folder, progress=False)


def test_the_command_prints_a_table_and_the_override(
    tmp_path: Path,
    voices_folder: Path,
    quick: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "rates.png"
    told = ["demo", "--data", str(voices_folder), "--steps", "40", "--out", str(plot), *quick]
    monkeypatch.setattr(sys, "argv", ["vczoo", "find-rate", *told])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["learning", "rate", "because"]
    override = lines[3].removeprefix("use the lower of the two: ")
    lower = min(float(line.split()[0]) for line in lines[1:3])
    assert checked_recipe("demo", [override]).training.learning_rate == lower > LOWEST
    assert lines[4:] == [f"plot: {plot}"]


def test_the_help_says_how_many_steps_are_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["vczoo", "find-rate", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert f"x>={rate_finder.FEWEST}" in capsys.readouterr().out
