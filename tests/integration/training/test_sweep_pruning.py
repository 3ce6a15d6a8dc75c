"""Pruning of weak cells in sweeps whose cells are really trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vczoo
from tests.conftest import SMALL
from vczoo.errors import VczooError
from vczoo.training.checkpoints.checkpoint import CHECKPOINT

pytestmark = pytest.mark.slow

RATES = {"training.learning_rate": [1e-6, 2e-6, 0.003, 0.01, 0.03]}


def swept(voices: Path, out: Path, **options: object) -> vczoo.Sweep:
    overrides = [setting for setting in SMALL if "learning_rate" not in setting]
    options = {"prune_after": 1, **options}
    return vczoo.sweep("demo", voices, out, RATES, overrides, measures=["loss"], cache=out.parent / "cache", **options)  # type: ignore[arg-type]


def test_weak_cells_of_a_sample_stop_and_can_be_trained_on(tmp_path: Path, voices_folder: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    result = swept(voices_folder, out, sampler="random", cells=4, jobs=2, say=said.append)
    rows = {row["training.learning_rate"]: row for row in result.rows()}
    assert len(rows) == 4
    pruned = {rate for rate, row in rows.items() if row["status"] == "pruned"}
    assert len(pruned) == len(result.pruned) == 2
    assert max(pruned) < min(set(rows) - pruned), "rates near 0 learn nothing in an epoch"
    assert not result.failed
    for rate, row in rows.items():
        folder = out / "cells" / row["cell"]
        epochs = len((folder / "metrics.jsonl").read_text().splitlines())
        assert epochs == (1 if rate in pruned else 3)
        assert (folder / CHECKPOINT).exists() == (rate in pruned)
        assert (row["validation_loss"] is None) == (rate in pruned)
    assert "after epoch 1 is worse than" in rows[min(pruned)]["reason"]
    assert "of 4 cells" in rows[min(pruned)]["reason"]
    frame = result.to_pandas()
    assert sorted(frame["status"]) == ["done", "done", "pruned", "pruned"]
    assert "pruned" in (out / "table.md").read_text()
    assert sum(": paused" in line for line in said) == 4

    said.clear()
    again = swept(voices_folder, out, sampler="random", cells=4, say=said.append)
    assert not any(line.startswith("[") for line in said), "nothing is left to train"
    assert {row.name for row in again.pruned} == {row.name for row in result.pruned}

    # Without pruning, the stopped cells are trained to the end, from their checkpoints.
    whole = swept(voices_folder, out, sampler="random", cells=4, prune_after=None)
    assert [row["status"] for row in whole.rows()] == ["done"] * 4
    assert [row["epochs"] for row in whole.rows()] == [3] * 4


def test_a_paused_cell_ends_as_if_it_had_never_paused(tmp_path: Path, voices_folder: Path) -> None:
    recipe, overrides = "demo", [*SMALL]
    straight = vczoo.finetune(recipe, voices_folder, tmp_path / "straight", overrides, cache=False, progress=False)
    from vczoo.training.sweeps.pruning import Pause, Paused

    with pytest.raises(Paused):
        vczoo.finetune(
            recipe, voices_folder, tmp_path / "run", overrides, cache=False, progress=False, callbacks=[Pause(2)]
        )
    resumed = vczoo.finetune(
        recipe, voices_folder, tmp_path / "run", overrides, cache=False, progress=False, resume=True
    )
    assert resumed.metrics["validation"] == straight.metrics["validation"]
    assert resumed.metrics["test"] == straight.metrics["test"]


def test_seeds_are_not_pruned(tmp_path: Path, voices_folder: Path) -> None:
    with pytest.raises(VczooError, match="lucky seeds"):
        vczoo.sweep("demo", voices_folder, tmp_path / "out", {"seed": [0, 1]}, prune_after=1)
    assert not (tmp_path / "out").exists()


def test_the_state_tells_what_was_decided(tmp_path: Path, voices_folder: Path) -> None:
    pytest.importorskip("optuna")
    result = swept(voices_folder, tmp_path / "out", sampler="optuna", cells=5)
    assert sorted({row["status"] for row in result.rows()}) == ["done", "pruned"]
    cells = json.loads((tmp_path / "out" / "sweep.json").read_text())["cells"].values()
    # The first three cells are never compared; from the fourth on, the worse half stops.
    assert [cell["status"] for cell in cells][:3] == ["done"] * 3
    assert all(cell["early"]["epochs"] == 1 for cell in cells)
