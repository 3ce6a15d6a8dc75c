"""Means of weights: of a start and its fine-tune, of several fine-tunes, and of runs that have none."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.errors import RunError, VczooError
from vczoo.models.build import build
from vczoo.runs.lineage import lineage_from
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_writer import save_run


@pytest.fixture(scope="module")
def runs(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A start, and two runs that were made from it by moving all weights, as fine-tunes do."""
    folder = tmp_path_factory.mktemp("mean")
    shutil.copytree(trained_folder, folder / "start")
    for seed in (1, 2):
        run = load_run(folder / "start")
        lineage = lineage_from(run)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for value in run.model.parameters():
                value += 0.1 * torch.randn(value.shape, generator=generator)
        save_run(replace(run, lineage=lineage, folder=None), folder / f"tuned-{seed}")
    return [str(folder / name) for name in ("start", "tuned-1", "tuned-2")]


def tensors(run: str | vczoo.Converter) -> dict[str, torch.Tensor]:
    tensors = (vczoo.load(run) if isinstance(run, str) else run).model.tensors()
    return {name: value for name, value in tensors.items() if value.is_floating_point()}


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_between_a_start_and_its_fine_tune(alpha: float, runs: list[str], tmp_path: Path) -> None:
    start, tuned, mean = (tensors(run) for run in (runs[0], runs[1], vczoo.average(runs[:2], tmp_path / "m", alpha)))
    for name, value in mean.items():
        if alpha in (0.0, 1.0):
            assert torch.equal(value, (tuned if alpha else start)[name])
        assert torch.allclose(value, (1 - alpha) * start[name] + alpha * tuned[name], atol=1e-6)


def test_a_soup(runs: list[str], tmp_path: Path) -> None:
    converter = vczoo.average(runs, tmp_path / "soup")
    all_tensors = [tensors(run) for run in runs]
    for name, value in tensors(converter).items():
        assert torch.allclose(value, sum(each[name] for each in all_tensors) / 3, atol=1e-6)
    assert converter.voices == ("alice", "bob", "carol")
    assert converter.metrics["average"] == {f"{n}: {Path(run).name}": 1 / 3 for n, run in enumerate(runs, 1)}


@pytest.mark.parametrize(
    ("count", "alpha", "message"),
    [
        (1, None, "an average takes two or more runs, got 1"),
        (2, 1.5, r"alpha must be 0 to 1, got 1\.5: it is the share of the second run"),
        (2, float("nan"), "alpha must be 0 to 1, got nan"),
        (3, 0.5, "alpha is for two runs, a start and its fine-tune, but there are 3"),
    ],
)
def test_shares(count: int, alpha: float | None, message: str, runs: Sequence[str], tmp_path: Path) -> None:
    with pytest.raises(VczooError, match=message):
        vczoo.average(runs[:count], tmp_path / "mean", alpha)
    assert not (tmp_path / "mean").exists()


def test_runs_that_have_no_mean(runs: list[str], tmp_path: Path) -> None:
    run = load_run(Path(runs[0]))
    save_run(replace(run, folder=None, metrics={"other": 1}), tmp_path / "alone")
    with pytest.raises(RunError, match="they did not begin with the same run, so their mean is of no use"):
        vczoo.average([runs[0], str(tmp_path / "alone")], tmp_path / "mean")
    part = run.recipe.heads["voice"].model_copy(update={"blocks": 3})
    recipe = run.recipe.model_copy(update={"heads": {**run.recipe.heads, "voice": part}})
    other = replace(run, recipe=recipe, model=build(recipe, 3), voices={}, folder=None)
    save_run(other, tmp_path / "other")
    with pytest.raises(RunError, match=r"start has other parts than .*other"):
        vczoo.average([runs[0], str(tmp_path / "other")], tmp_path / "mean")
    with pytest.raises(RunError, match="exists; choose another folder"):
        vczoo.average(runs, tmp_path / "other")
    with pytest.raises(VczooError, match="demo is a recipe; name runs"):
        vczoo.average(["demo", runs[0]], tmp_path / "mean")
