"""The table of a sweep: columns, means over seeds, the best cell, plots."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from vczoo.errors import VczooError
from vczoo.training.sweeps.cells import cells_of
from vczoo.training.sweeps.grid import cell_name, read_grid, settings_of
from vczoo.training.sweeps.measures import check_measures
from vczoo.training.sweeps.plots import draw_table
from vczoo.training.sweeps.state import State
from vczoo.training.sweeps.summary import best_line, texts, texts_of_means
from vczoo.training.sweeps.table import Table, to_csv, to_markdown


def state_of(axes: dict[str, list[Any]], figure: Any) -> State:
    grid = settings_of(read_grid(axes))
    cells = {
        cell_name(s): {"settings": s, "status": "done", "metrics": {"test": {"speaker.accuracy": figure(s)}}}
        for s in grid
    }
    return State(axes=axes, cells=cells)


def drawn_lines(table: Table, axis: str) -> dict[str, Any]:
    from vczoo.training.sweeps.plots import _draw

    chosen = next(one for one in table.axes if one.name == axis)
    axes = _draw(table, "test_speaker_accuracy", chosen, {}).axes[0]
    return {
        "lines": {c.get_label(): (list(c[0].get_xdata()), list(c[0].get_ydata())) for c in axes.containers},
        "scale": axes.get_xscale(),
        "ticks": [text.get_text() for text in axes.get_xticklabels()],
        "bars": [c.has_yerr for c in axes.containers],
    }


def test_of_seeds_the_mean_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    axes = {"minutes": [10.0, 1.0, 3.0], "freezing.use": ["partial", "full"], "seed": [0, 1]}
    table = Table.of(state_of(axes, lambda s: s["minutes"] / 20 + s["seed"] / 10), None)
    drawn = drawn_lines(table, "minutes")
    assert drawn["scale"] == "log"
    assert drawn["ticks"] == ["1", "3", "10"]
    assert set(drawn["lines"]) == {"partial", "full"}
    x, y = drawn["lines"]["full"]
    assert x == [1.0, 3.0, 10.0]
    assert y == pytest.approx([0.1, 0.2, 0.55])
    assert drawn["bars"] == [True, True]
    named = drawn_lines(table, "freezing.use")
    assert named["ticks"] == ["partial", "full"]  # in the order of the grid
    assert set(named["lines"]) == {"10", "1", "3"}
    assert len(draw_table(table, tmp_path, {})) == 4


def test_figures_of_any_head_and_of_both_splits_are_in_the_table() -> None:
    state = State(
        axes={"a": [1, 2]},
        cells={
            "a=1": {
                "settings": {"a": 1},
                "status": "done",
                "metrics": {
                    "validation": {"ctc.wer": 0.25, "ctc.loss": 1.0, "loss": 1.5},
                    "test": {"ctc.wer": 0.5, "ctc.loss": 1.0, "loss": 2.0},
                    "seconds": 3.0,
                    "trainable_parameters": 12345,
                },
                "conversions": {"similarity_to_target": 0.75},
            },
            "a=2": {"settings": {"a": 2}, "status": "failed", "reason": "out of\nmemory | full"},
        },
    )
    table = Table.of(state, None)
    assert table.measures == ("validation_ctc_wer", "validation_loss", "test_similarity", "test_ctc_wer", "test_loss")
    assert table.records()[0] == {
        "cell": "a=1",
        "a": 1,
        "validation_ctc_wer": 0.25,
        "validation_loss": 1.5,
        "test_similarity": 0.75,
        "test_ctc_wer": 0.5,
        "test_loss": 2.0,
        "seconds": 3.0,
        "epochs": None,
        "trainable_parameters": 12345,
        "minutes_used": None,
        "status": "done",
        "reason": "",
    }
    assert list(csv.DictReader(io.StringIO(to_csv(table.records()))))[1]["reason"] == "out of memory | full"
    assert texts(table)[0]["test_loss"] == "2.000"
    assert texts(table)[1]["status"] == "failed"
    assert "memory \\| full" in to_markdown(texts(table))
    of_loss = Table.of(state, ["loss"]).measures
    assert of_loss == ("validation_ctc_loss", "validation_loss", "test_ctc_loss", "test_loss")


def seeds(axes: dict[str, list[Any]], criterion: str = "loss") -> Table:
    """Cells whose validation loss is a + seed / 10, and whose accuracy is a tenth of that."""
    cells = {
        cell_name(s): {
            "settings": s,
            "status": "done",
            "criterion": criterion,
            "metrics": {"validation": {"loss": (v := s.get("a", 0) + s.get("seed", 0) / 10), "s.accuracy": v / 10}},
        }
        for s in settings_of(read_grid(axes))
    }
    return Table.of(State(axes=axes, cells=cells), None)


def test_means_and_deviations_over_seeds() -> None:
    table = seeds({"a": [1, 2], "seed": [0, 1, 2]})
    first, second = table.means()
    assert (first["a"], first["seeds"]) == (1, 3)
    assert "seed" not in first
    assert first["validation_loss_mean"] == pytest.approx(1.1)
    assert first["validation_loss_std"] == pytest.approx(0.1)
    assert second["validation_loss_mean"] == pytest.approx(2.1)
    assert texts_of_means(table)[0] == {
        "a": "1",
        "seeds": "3",
        "validation_s_accuracy": "0.110 ± 0.010",
        "validation_loss": "1.100 ± 0.100",
    }
    assert seeds({"a": [1, 2]}).means() == []
    assert seeds({"a": [1, 2], "seed": [0]}).means() == []


def test_the_best_cell_is_named_by_validation() -> None:
    assert best_line(seeds({"a": [2, 1]})) == (
        "best by validation loss: a=1 (validation_s_accuracy 0.100, validation_loss 1.000)"
    )
    assert best_line(seeds({"a": [2, 1]}, "accuracy")).startswith("best by validation accuracy: a=2 (")
    assert best_line(seeds({"a": [2, 1], "seed": [0, 2]})) == (
        "best by validation loss, mean of 2 seeds: a=1 (validation_s_accuracy 0.110, validation_loss 1.100)"
    )
    assert best_line(seeds({"a": [1]})) == ""


def test_losses_of_different_heads_are_not_compared() -> None:
    table = seeds({"heads.s.weight": [1, 2]})
    assert "cannot be compared over heads.s.weight" in best_line(table)
    assert best_line(seeds({"heads.s.weight": [1, 2]}, "accuracy")).startswith("best by")
    rows = (*seeds({"a": [1]}).rows, *seeds({"a": [2]}, "accuracy").rows)
    assert "different criteria (accuracy, loss)" in best_line(Table(table.axes, rows, ()))


def test_a_measure_that_no_recipe_has_is_refused() -> None:
    recipes = [cell.recipe for cell in cells_of("demo", [], read_grid(["seed=0,1"]))]
    check_measures(["accuracy", "voice.l1", "similarity", "loss"], recipes)
    with pytest.raises(VczooError) as caught:
        check_measures(["acuracy", "wer"], recipes)
    assert str(caught.value) == (
        "no recipe of this sweep has the measure 'acuracy' or 'wer'; did you mean 'accuracy' or 'speaker.accuracy'? "
        "Measures: loss, accuracy, l1, similarity; or of one head: speaker.accuracy, speaker.loss, voice.l1, voice.loss"
    )
    by_errors = cells_of("demo", ["training.criterion=character-error"], read_grid(["seed=0,1"]))
    check_measures(["character_error"], [cell.recipe for cell in by_errors])
