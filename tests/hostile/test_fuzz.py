"""Configurations and recipes that nobody thought of: each loads, or ends in an error of ours, and leaves no trace."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vczoo
from tests.support.hostile import HOSTILE, as_yaml, changed, examples, listing, outcome, places
from vczoo.models.bundled import CONFIG
from vczoo.runs.run_folder import load_run

EXAMPLES = 300
ATHERIS_RUNS = 10_000
ODD = b"\0\t\r\n\"'#%&*!|>@`[]{}:,-?\xff\x85"
SPLICED = (*(bytes([byte]) for byte in ODD), b"\n  ", b": ", b"- ", b"!!", b"*x ", b"<<: ", b"---\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, trained_folder: Path) -> Path:
    """A copy of a run, whose configuration is written over again and again."""
    return Path(shutil.copytree(trained_folder, tmp_path_factory.mktemp("fuzz") / "run"))


@st.composite
def configs(draw: st.DrawFn, valid: dict[str, Any]) -> bytes:
    """The configuration of a run, changed in one place to three, as a value, as text, or as both."""
    values = valid
    for _ in range(draw(st.integers(0, 3))):
        what = draw(st.sampled_from(HOSTILE) | st.integers() | st.floats() | st.text(max_size=5))
        how = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
        values = changed(values, draw(st.sampled_from(places(values))), how, what)
    text = as_yaml(values).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        spliced = draw(st.sampled_from(SPLICED) | st.binary(max_size=3))
        text = text[:at] + spliced + text[at + draw(st.integers(0, 3)) :]
    return text


@settings(max_examples=examples(EXAMPLES), derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_run_of_any_configuration_loads_or_ends_in_one_error(
    folder: Path, trained_folder: Path, data: st.DataObject
) -> None:
    valid = yaml.safe_load((trained_folder / CONFIG).read_text())
    (folder / CONFIG).write_bytes(data.draw(configs(valid)))
    before = listing(folder.parent)
    told = outcome(lambda: load_run(folder, foreign=True))
    assert len(told) < 20_000
    assert listing(folder.parent) == before


@pytest.mark.parametrize("target", ["config", "header"])
def test_atheris_finds_nothing(tmp_path: Path, target: str) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: it is for Python below 3.14 on Linux, x86-64")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.hostile.fuzz.fuzz_run",
            target,
            tmp_path / target,
            f"-runs={ATHERIS_RUNS}",
            "-seed=1",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(vczoo.__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {ATHERIS_RUNS} runs" in done.stderr
