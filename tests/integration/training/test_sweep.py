"""Sweeps: the grid, faults before training, cells in processes, what is shared, what is gone on with, the table."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from safetensors import safe_open

import vczoo
from tests.support.recipes import TAUGHT
from vczoo.errors import CorpusError, PluginError, RecipeError, RunError, VczooError
from vczoo.io.install_advice import pip_install
from vczoo.io.lock import held
from vczoo.runs.run import is_run
from vczoo.training.sweeps.cells import cells_of
from vczoo.training.sweeps.grid import Axis, cell_name, is_axis, read_grid, settings_of
from vczoo.training.sweeps.plan import plan_sweep
from vczoo.training.sweeps.processes import Processes
from vczoo.training.sweeps.schedule import filling, work_off
from vczoo.training.sweeps.state import read_state
from vczoo.training.sweeps.table import merged_axes
from vczoo.training.sweeps.tasks import CellGroup, Outcome, Task, perform
from vczoo.training.training_folder import LOCK

GRID = ("freezing.trainable_stages=0,1", "minutes=0.04,0.06")
FROZEN = ("freezing.use=partial", "training.epochs=2")


def without(small: tuple[str, ...], *names: str) -> list[str]:
    return [word for word in small if word.partition("=")[0] not in names]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, voices_folder: Path, small: tuple[str, ...]) -> Path:
    """A sweep of four cells, two at a time, with a cache of its own beside it. Read only."""
    folder = tmp_path_factory.mktemp("swept")
    overrides = [*small, *FROZEN]
    told: list[str] = []
    found = vczoo.sweep(
        "demo", voices_folder, folder / "out", GRID, overrides, jobs=2, cache=folder / "cache", say=told.append
    )
    assert not found.failed, [row.reason for row in found.failed]
    (folder / "told.txt").write_text("\n".join(told))
    return folder


def test_a_grid_as_text_and_as_a_mapping() -> None:
    axes = read_grid(["freezing.trainable_stages=0,1", "minutes=1,0.5", "heads.speaker.hidden=[8, 4],[16]"])
    assert [axis.name for axis in axes] == ["freezing.trainable_stages", "minutes", "heads.speaker.hidden"]
    assert axes[1].values == (1.0, 0.5)
    assert axes[2].values == ([8, 4], [16])
    same = {"freezing.trainable_stages": [0, 1], "minutes": (1, 0.5), "heads.speaker.hidden": [[8, 4], [16]]}
    assert read_grid(same) == axes
    assert [axis.numeric for axis in axes] == [True, True, False]
    assert not Axis("a", (True, False)).numeric
    assert read_grid(["training.seed=1,2"])[0].name == "seed"


def test_the_last_axis_changes_fastest() -> None:
    assert settings_of(read_grid(["a=0,1", "b=x,y"])) == [{"a": a, "b": b} for a in (0, 1) for b in ("x", "y")]


def test_every_fault_of_a_grid_is_told() -> None:
    with pytest.raises(VczooError) as caught:
        read_grid(["minutes=0,x", "a=1,1", "a=2", "no", "seed=-1", "b=", "c=[1", "recipe=3"])
    for word in (
        "minutes: expected a number",
        "got 'x'",
        "a: 1 is given twice",
        "a is given twice",
        "'no' is not NAME=V1,V2",
        "seed:",
        "b: no",
    ):
        assert word in str(caught.value)
    assert "recipe's name" in str(caught.value)
    assert "c=[1" in str(caught.value)
    with pytest.raises(VczooError, match="nothing is varied"):
        read_grid([])
    with pytest.raises(VczooError, match="the limit is 10000"):
        read_grid([f"a={','.join(map(str, range(101)))}", f"b={','.join(map(str, range(100)))}"])
    with pytest.raises(VczooError, match="list of values"):
        read_grid({"a": "01"})


def test_a_word_with_several_values_is_an_axis() -> None:
    assert is_axis("a=1,2")
    assert is_axis("minutes=3")
    assert not is_axis("training.epochs=3")
    assert not is_axis("heads.speaker.hidden=[32, 16]")
    assert not is_axis('summary="one, two"')


def test_names_of_cells_are_safe_and_stable() -> None:
    assert cell_name({"freezing.trainable_stages": 0, "minutes": 1.0}) == "freezing.trainable_stages=0,minutes=1"
    names = [cell_name({"x": value}) for value in ("a/b", "a b", "A/b", "../..", "ä" * 400, "a-b", "a|b", [1, 2], None)]
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert len(name) <= 120
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.,_=+-")
        assert name not in {".", ".."}


def test_all_faults_of_all_cells_are_told_at_once(small: tuple[str, ...]) -> None:
    overrides = without(small, "training.batch_size", "backbone.width")
    axes = read_grid(["freezing.trainable_stages=-1,0", "training.batch_size=0,4", "backbone.width=16,x"])
    with pytest.raises(RecipeError) as caught:
        cells_of("demo", [*overrides, "freezing.use=partial", "training.batch=3"], axes)
    text = str(caught.value)
    assert "training.batch" in text
    assert "(every cell)" in text
    assert "trainable_stages must be 0 or more, got -1" in text
    assert "training.batch_size" in text
    assert "backbone" in text
    assert "and 1 more)" in text


def test_what_is_set_and_varied_is_refused() -> None:
    axes = read_grid(["training.epochs=1,2"])
    with pytest.raises(VczooError, match=r"training\.epochs is set to 3"):
        cells_of("demo", ["training.epochs=3"], axes)
    with pytest.raises(VczooError, match="seed is set to 3"):
        cells_of("demo", ["training.seed=3"], read_grid(["seed=1,2"]))
    with pytest.raises(VczooError, match="no recipe is given"):
        cells_of(None, [], axes)
    with pytest.raises(VczooError, match="recipe=demo,demo-knn"):
        cells_of("demo", [], read_grid(["recipe=demo-knn"]))
    with pytest.raises(RecipeError, match="demo-kn"):
        cells_of(None, [], read_grid(["recipe=demo,demo-kn"]))


def test_recipes_are_an_axis() -> None:
    cells = cells_of(None, [], read_grid(["recipe=demo,demo-knn", "seed=1,2"]))
    assert [(cell.recipe.name, cell.recipe.training.seed) for cell in cells] == [
        ("demo", 1),
        ("demo", 2),
        ("demo-knn", 1),
        ("demo-knn", 2),
    ]


def test_each_cell_is_a_run_like_any_other(swept: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    names = {path.name for path in (swept / "out" / "cells").iterdir()}
    assert names == {f"freezing.trainable_stages={s},minutes={m}" for s in (0, 1) for m in ("0.04", "0.06")}
    cell = swept / "out" / "cells" / "freezing.trainable_stages=1,minutes=0.04"
    overrides = [*small, *FROZEN, "freezing.trainable_stages=1"]
    alone = vczoo.finetune(
        "demo", voices_folder, swept / "alone", overrides, minutes=0.04, cache=False, progress=False, device="cpu"
    )
    metrics = vczoo.load(cell).metrics
    assert metrics["test"] == pytest.approx(alone.metrics["test"], abs=1e-4)
    assert metrics["trainable_parameters"] == alone.metrics["trainable_parameters"]
    for minutes in metrics["training_minutes"].values():
        assert 0 < minutes <= 0.04


def test_no_frozen_stage_runs_twice_over_a_recording(swept: Path) -> None:
    made: Counter[tuple[str, str]] = Counter()
    for shard in (swept / "cache").glob("*/*.safetensors"):
        with safe_open(shard, framework="pt") as file:
            key = (file.metadata() or {})["key"]
            made.update((key, name) for name in file.keys() if not name.endswith("#"))  # noqa: SIM118 - no mapping
    assert set(made.values()) == {1}
    depths = Counter(json.loads(key)["depth"] for key, _ in made if "depth" in json.loads(key))
    assert len(depths) == 2
    # Every cell wants the whole of validation and test, and the most minutes of training.
    assert set(depths.values()) == {len((swept / "out" / "manifest.jsonl").read_text().splitlines())}


def test_the_table_has_a_row_a_cell_in_the_order_of_the_grid(swept: Path) -> None:
    rows = list(csv.DictReader((swept / "out" / "table.csv").open(encoding="utf-8")))
    assert [(row["freezing.trainable_stages"], row["minutes"]) for row in rows] == [
        ("0", "0.04"),
        ("0", "0.06"),
        ("1", "0.04"),
        ("1", "0.06"),
    ]
    for row in rows:
        metrics = json.loads((swept / "out" / "cells" / row["cell"] / "metrics.json").read_text())
        for split in ("validation", "test"):
            assert float(row[f"{split}_speaker_accuracy"]) == metrics[split]["speaker.accuracy"]
            assert float(row[f"{split}_loss"]) == metrics[split]["loss"]
        assert float(row["seconds"]) == metrics["seconds"]
        assert int(row["trainable_parameters"]) == metrics["trainable_parameters"]
        assert float(row["minutes_used"]) <= float(row["minutes"])
        assert (row["status"], row["reason"]) == ("done", "")
    assert int(rows[0]["trainable_parameters"]) < int(rows[2]["trainable_parameters"])
    markdown = (swept / "out" / "table.md").read_text()
    assert markdown.count("\n| ") == 5
    assert "| freezing.trainable_stages | minutes | validation_speaker_accuracy |" in markdown
    state = json.loads((swept / "out" / "sweep.json").read_text())
    assert [list(record) for record in state["table"]] == [list(row) for row in rows]
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    assert f"- best by validation loss: {best['cell'].replace(',', ', ')} (" in markdown


def test_similarity_is_that_of_an_evaluation(swept: Path) -> None:
    pytest.importorskip("resemblyzer")
    out = swept / "out"
    cell = "freezing.trainable_stages=0,minutes=0.06"
    state = json.loads((out / "sweep.json").read_text())
    report = vczoo.evaluate(
        out / "cells" / cell,
        out / "trials.csv",
        references=out / "references.csv",
        out=swept / "evaluation",
        measures=vczoo.load_measures(asr=(), naturalness=False),
    )
    by_role = {one.role: one.figures["similarity_to_target"].value for one in report.scores}
    found = state["cells"][cell]["conversions"]["similarity_to_target"]
    assert found == pytest.approx(by_role["system"], abs=1e-3)
    assert state["yardsticks"]["unconverted"] == pytest.approx(by_role["floor"], abs=1e-3)
    assert {"source", "source_speaker", "voice"} == set(next(csv.DictReader((out / "trials.csv").open())))


def test_the_state_says_what_figures_depend_on(swept: Path, voices_folder: Path) -> None:
    state = json.loads((swept / "out" / "sweep.json").read_text())
    assert state["shared"]["data"]["fingerprint"] == vczoo.read_corpus(voices_folder).fingerprint()
    assert state["shared"]["recipes"]["demo"]["freezing"]["use"] == "partial"
    assert set(state["about"]["versions"]) == {"vczoo", "torch", "soxr"}
    assert state["axes"] == {"freezing.trainable_stages": [0, 1], "minutes": [0.04, 0.06]}


def test_plots_are_there_as_png_and_svg(swept: Path) -> None:
    names = {path.name for path in (swept / "out" / "plots").iterdir()}
    for measure in ("test_speaker_accuracy", "validation_loss", "test_loss"):
        for axis in ("freezing.trainable_stages", "minutes"):
            assert {f"{measure}-by-{axis}.png", f"{measure}-by-{axis}.svg"} <= names
    assert (swept / "out" / "plots" / "test_loss-by-minutes.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (swept / "out" / "plots" / "test_loss-by-minutes.svg").read_text()


def test_the_same_call_trains_nothing_and_another_grid_adds(
    swept: Path, tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    out = Path(shutil.copytree(swept / "out", tmp_path / "out"))
    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/model.safetensors")}
    told: list[str] = []
    overrides = [*small, *FROZEN]
    vczoo.sweep("demo", voices_folder, out, GRID, overrides, cache=False, say=told.append)
    assert {path: path.stat().st_mtime_ns for path in out.glob("cells/*/model.safetensors")} == before
    assert not any(line.startswith("[") for line in told)
    assert any("4 of them trained already" in line for line in told)

    more = vczoo.sweep(
        "demo", voices_folder, out, [GRID[0], "minutes=0.05"], overrides, measures=["accuracy"], cache=False
    )
    assert [row.settings["minutes"] for row in more.table.rows] == [0.04, 0.05, 0.06] * 2
    assert more.table.measures == ("validation_speaker_accuracy", "test_speaker_accuracy")
    assert {path: path.stat().st_mtime_ns for path in before} == before

    for settings, grid, reason in (
        ([*overrides, "training.optimizer=adam"], GRID, "other settings for all cells"),
        ([*overrides, "training.weight_decay=0.1"], ["minutes=0.01"], "other settings for all cells"),
    ):
        with pytest.raises((RunError, CorpusError), match=reason if grid is GRID else "minutes"):
            vczoo.sweep("demo", voices_folder, out, grid, settings)
    with pytest.raises(RunError, match="another recipe: demo before, demo-knn now"):
        vczoo.sweep("demo-knn", voices_folder, out, ["training.batch_size=4,8"], [])
    shutil.copytree(voices_folder, tmp_path / "others", ignore=shutil.ignore_patterns("carol"))
    with pytest.raises(RunError, match="other recordings"):
        vczoo.sweep("demo", tmp_path / "others", out, GRID, overrides)


def test_a_folder_of_something_else_is_refused(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(RunError, match="contains no sweep"):
        read_state(run_folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        read_state(tmp_path / "file")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "sweep.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        read_state(tmp_path / "bad")


def test_one_sweep_at_a_time_has_the_folder(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    with (
        held(tmp_path / "out" / LOCK, what="busy"),
        pytest.raises(RunError, match="another sweep or training runs here"),
    ):
        vczoo.sweep("demo", voices_folder, tmp_path / "out", GRID, [*small, *FROZEN])
    with held(tmp_path / "out" / LOCK, what="busy"):  # which was let go
        pass


def test_fewer_minutes_than_asked_are_said_once_a_speaker(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    plan = plan_sweep("demo", voices_folder, tmp_path / "out", ["minutes=0.04,1,3"], small)
    said = [note for note in plan.notes if "fewer than the 1, 3 asked for" in note]
    assert [note.split()[0] for note in said] == ["alice", "bob", "carol"]
    assert not (tmp_path / "out").exists()
    with pytest.raises(CorpusError, match=r"no recording fits into 0\.001 minutes"):
        plan_sweep("demo", voices_folder, tmp_path / "out", ["minutes=0.001,1"], small)


def test_without_the_speaker_model_similarity_is_left_out_and_that_is_said(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vczoo.evaluation.metrics.speaker_embedding.find_spec", lambda name: None)
    plan = plan_sweep("demo", voices_folder, tmp_path / "out", ["minutes=0.04,0.06"], small)
    assert not plan.needs_conversions
    assert any(pip_install(extra="eval") in note for note in plan.notes)
    quiet = plan_sweep("demo", voices_folder, tmp_path / "out", ["minutes=0.04,0.06"], small, measures=["accuracy"])
    assert not any("similarity" in note for note in quiet.notes)


def test_a_cell_that_fails_does_not_stop_the_others(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "vczoo", "sweep", "demo", "--grid", "training.learning_rate=0.01,1000"]
    settings = without(small, "training.learning_rate")
    rest = ["--data", str(voices_folder), "--out", str(tmp_path / "out"), "--measure", "accuracy", *settings]
    done = subprocess.run([*command, *rest, "--no-cache"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1, done.stderr
    assert "1 of 2 cells failed" in done.stderr
    state = json.loads((tmp_path / "out" / "sweep.json").read_text())
    statuses = {name: cell["status"] for name, cell in state["cells"].items()}
    assert sorted(statuses.values()) == ["done", "failed"]
    failed = next(cell for cell in state["cells"].values() if cell["status"] == "failed")
    assert "training diverged" in failed["reason"]
    assert "training diverged" in (tmp_path / "out" / "table.csv").read_text()
    assert "test_speaker_accuracy" in done.stdout
    assert "[2/2]" in done.stderr  # progress, which is no result
    assert "[2/2]" not in done.stdout

    dry = subprocess.run([*command, *rest, "--dry-run"], capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr
    assert "1 of them trained already" in dry.stdout
    assert "failed" in dry.stdout


def lesson(small: tuple[str, ...], *more: str) -> CellGroup:
    from vczoo.models.resolve import nest

    return CellGroup("demo", nest([*small, *more]), None)


def test_a_process_that_is_killed_is_told_with_its_signal(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    task = Task("train", "a", (lesson(small),), str(voices_folder), (str(tmp_path / "run"),), cache=False)
    with Processes(tmp_path, 1) as pool:
        pool.start(task)
        assert pool.free == 0
        (running,) = pool._running.values()
        running.process.kill()
        ((ended, outcome),) = pool.ended()
    assert ended == task
    assert outcome.status == "failed"
    assert "SIGKILL; perhaps the machine ran out of memory" in outcome.reason
    assert outcome.resumable


def alive(folder: Path) -> list[int]:
    """Processes of this machine that work on a folder's tasks."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        links = []
        with suppress(OSError):  # it has ended
            for link in (entry / "fd").iterdir():
                with suppress(OSError):  # it has closed that file
                    links.append(os.readlink(link))
        if str(folder / LOCK) in links and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_sweep_goes_on(
    how: signal.Signals, tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    settings = [*without(small, "training.epochs"), "training.epochs=200", "training.patience=200"]
    command = [
        sys.executable,
        "-m",
        "vczoo",
        "sweep",
        "demo",
        "--grid",
        "seed=1",
        "--measure",
        "accuracy",
        "--no-cache",
    ]
    rest = ["--data", str(voices_folder), "--out", str(out), *settings]
    log = out / "cells" / "seed=1" / "metrics.jsonl"
    with subprocess.Popen([*command, *rest], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not log.is_file():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.02)
        with pytest.raises(RunError, match="another sweep or training runs here"):
            vczoo.sweep("demo", voices_folder, out, ["seed=1"], settings, measures=["accuracy"])
        process.send_signal(how)
        process.wait()
        assert process.returncode == (130 if how == signal.SIGINT else -how)
    while alive(out):  # of a sweep that was killed they notice by themselves
        time.sleep(0.05)
    cell = read_state(out).cells["seed=1"]
    assert cell["status"] == ("interrupted" if how == signal.SIGINT else "running")
    done = len(log.read_text().splitlines())
    assert 0 < done < 200
    assert (log.parent / "checkpoint.safetensors").is_file()
    first = log.read_text().splitlines()[0]
    vczoo.sweep("demo", voices_folder, out, ["seed=1"], settings, measures=["accuracy"], cache=False)
    assert is_run(log.parent)
    assert log.read_text().splitlines()[0] == first  # with its seconds: it was not trained again


class Slow:
    """A pool that performs nothing: tasks end in the order in which they were started, one at a time."""

    def __init__(self, places: int, interrupt_after: int = 10**6) -> None:
        self.places, self.left = places, interrupt_after
        self.running: list[Task] = []
        self.log: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def free(self) -> int:
        return self.places - len(self.running)

    def start(self, task: Task) -> None:
        assert self.free
        self.running.append(task)
        self.log.append(f"+{task.name}")

    def ended(self) -> list[tuple[Task, Outcome]]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        task = self.running.pop(0)
        self.log.append(f"-{task.name}")
        return [(task, Outcome("done"))]

    def stop(self) -> list[tuple[Task, Outcome]]:
        return [(task, Outcome("interrupted")) for task in self.running]


def test_a_task_waits_for_those_that_it_comes_after() -> None:
    tasks = [Task("fill", "f"), Task("train", "a", after=("f",)), Task("train", "b"), Task("train", "c", after=("f",))]
    pool = Slow(2)
    work_off(tasks, pool, lambda task: None, lambda task, outcome: None)
    assert pool.log == ["+f", "+b", "-f", "+a", "-b", "+c", "-a", "-c"]


def test_what_is_interrupted_is_heard_of() -> None:
    heard: list[tuple[str, str]] = []

    def ended(task: Task, outcome: Outcome) -> None:
        heard.append((task.name, outcome.status))

    with pytest.raises(KeyboardInterrupt):
        work_off([Task("train", name) for name in "abc"], Slow(2, 1), lambda task: None, ended)
    assert heard == [("a", "done"), ("b", "interrupted"), ("c", "interrupted")]


def test_what_is_filled_ahead_is_what_cells_share(small: tuple[str, ...]) -> None:
    cells = cells_of(
        "demo", [*small, "freezing.use=partial"], read_grid(["freezing.trainable_stages=0,1", "minutes=1,3"])
    )
    ((lessons, names),) = filling(cells)
    assert [one.minutes for one in lessons] == [3.0, 3.0]
    assert names == [cell.name for cell in cells]
    assert filling(cells[:1]) == []
    apart = cells_of(
        "demo", [*without(small, "backbone.width"), "freezing.use=partial"], read_grid(["backbone.width=8,16"])
    )
    assert filling(apart) == []


def test_earlier_values_join_the_axes() -> None:
    axes = read_grid(["minutes=1,10", "recipe=b,c"])
    assert merged_axes({"minutes": [3.0], "recipe": ["a", "b"], "seed": [0]}, axes) == {
        "minutes": [1.0, 3.0, 10.0],
        "recipe": ["b", "c", "a"],
        "seed": [0],
    }


def test_without_ray_an_error_says_what_to_install(
    tmp_path: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PluginError, match="pip install ray"):
        vczoo.sweep("demo", voices_folder, tmp_path / "out", GRID, ray=True)


def test_cells_are_tasks_of_ray(tmp_path: Path, voices_folder: Path, small: tuple[str, ...]) -> None:
    pytest.importorskip("ray")
    overrides = without(small, "training.learning_rate")
    grid = ["training.learning_rate=0.01,1000"]
    found = vczoo.sweep(
        "demo",
        voices_folder,
        tmp_path / "out",
        grid,
        overrides,
        measures=["accuracy"],
        ray=True,
        cache=tmp_path / "cache",
    )
    assert [row.status for row in found.table.rows] == ["done", "failed"]
    assert "training diverged" in found.failed[0].reason
    assert 0 <= found.table.rows[0].figures["test_speaker_accuracy"] <= 1


def test_a_teacher_runs_ahead_and_not_again_in_the_cells(tmp_path: Path, voices_folder: Path) -> None:
    (tmp_path / "pupil.yaml").write_text(TAUGHT)
    cache, source = str(tmp_path / "cache"), str(tmp_path / "pupil.yaml")
    group = CellGroup(source, {}, None)
    unknown = CellGroup(source, {"training.epochs": 0}, None)  # its cells report it; the others are filled
    task = Task("fill", "frozen-stages-1", (unknown, group), data=str(voices_folder), cache=cache, device="cpu")
    outcome = perform(task)
    assert outcome.status == "done", outcome.reason

    def shards() -> set[Path]:
        return set((tmp_path / "cache").glob("*/*.safetensors"))

    before = shards()
    teacher = [path for path in before if '"channels": 6' in (safe_open(path, "pt").metadata() or {})["key"]]
    assert teacher
    vczoo.finetune(source, voices_folder, tmp_path / "run", cache=cache, device="cpu", progress=False)
    assert shards() == before


def test_cells_of_different_teachers_are_all_filled(tmp_path: Path) -> None:
    (tmp_path / "pupil.yaml").write_text(TAUGHT)
    cells = cells_of(str(tmp_path / "pupil.yaml"), [], read_grid(["teacher.blocks=1,2", "training.seed=1,2"]))
    ((groups, names),) = filling(cells)
    assert len(groups) == len(names) == 4
