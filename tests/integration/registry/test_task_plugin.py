"""The example plugin that brings a task of its own: it trains, is saved, loaded and evaluated, and conforms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vczoo
from vczoo.testing.plugin_kit.source import find_plugin

EXAMPLE = Path(vczoo.__file__).parents[1] / "docs" / "examples" / "vczoo-valence"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `installed` holds the metadata of the plugin, as if it were installed."""
    folder = tmp_path_factory.mktemp("valence")
    find_plugin(str(EXAMPLE)).write_metadata(folder / "installed")
    return folder


@pytest.fixture(scope="module")
def manifest(place: Path, voices_folder: Path) -> Path:
    """Recordings with a valence: what bob says is unpleasant."""
    rows = [
        {"path": str(path), "speaker": path.parent.name, "valence": -0.8 if path.parent.name == "bob" else 0.6}
        for path in sorted(voices_folder.rglob("*.wav"))
    ]
    (place / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place / "manifest.jsonl"


@pytest.fixture(scope="module")
def trained(place: Path, manifest: Path) -> Path:
    run(place, "train", "valence-demo", "--data", manifest, "--out", "mine")
    return place / "mine"


def run(place: Path, *command: object, module: str = "vczoo", status: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VCZOO_PLUGINS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(place / "installed"), str(EXAMPLE)])
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        env=environment,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_learns_from_its_column(trained: Path) -> None:
    history = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["train"]["valence.loss"] < history[0]["train"]["valence.loss"]
    assert json.loads((trained / "metrics.json").read_text())["test"]["valence.mae"] < 0.4
    rows = [json.loads(line) for line in (trained / "manifest.jsonl").read_text().splitlines()]
    assert {row["valence"] for row in rows} == {"-0.8", "0.6"}
    assert "vczoo-valence" in (trained / "vczoo.yaml").read_text()


def test_the_loaded_run_is_evaluated_as_it_was_when_trained(place: Path, trained: Path, manifest: Path) -> None:
    printed = run(place, "evaluate", "./mine", "--data", manifest)
    figures = dict(line.split() for line in printed.splitlines() if line.startswith(("valence.", "loss")))
    assert set(figures) == {"loss", "valence.loss", "valence.error", "valence.mae", "valence.ccc"}
    test = json.loads((trained / "metrics.json").read_text())["test"]
    assert {name: float(value) for name, value in figures.items()} == pytest.approx(test, rel=1e-2)


def test_what_an_evaluation_cannot_use_is_refused(place: Path, trained: Path, voices_folder: Path) -> None:
    output = run(place, "evaluate", "./mine", "--data", voices_folder, status=1)
    assert "recordings have no valence; add a column valence in a manifest" in output
    assert "needs either --trials" in run(place, "evaluate", "./mine", status=1)


def test_it_conforms_and_its_own_tests_pass(place: Path) -> None:
    assert "checks of 2 entries" in run(place, "plugin", "check", EXAMPLE)
    output = run(place, "-p", "no:cacheprovider", EXAMPLE, module="pytest")
    assert "passed" in output
    assert "conformance: 2 entries" in output
