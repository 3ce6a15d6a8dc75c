"""The tutorial notebooks: all code cells run, and what a cell shows has a form for notebooks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import SPEAKERS, synthetic_utterance
from tests.support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
# Runs the cells as a kernel does: one namespace, and the value of a last expression is what the cell shows.
RUNNER = """
import ast, json, sys
names, shown = {"__name__": "__main__"}, []
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] != "code":
        continue
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {number}", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
        html = getattr(value, "_repr_html_", lambda: None)()
        shown.append([type(value).__name__, html or repr(value)])
print(json.dumps(shown))
"""


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in content["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, voices_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    shutil.copytree(voices_folder, tmp_path / "voices")
    soundfile.write(tmp_path / "hello.wav", synthetic_utterance(6, *SPEAKERS["bob"]), 16000)
    speech = [synthetic_utterance(number, *SPEAKERS["alice"]) for number in range(30)]
    soundfile.write(tmp_path / "me.wav", np.concatenate(speech), 16000)
    environment = {**os.environ, "MPLBACKEND": "agg", "HF_HUB_OFFLINE": "1", "VCZOO_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    tables = {kind for kind, text in shown if text.lstrip().startswith("<")}
    assert {"Recipe", "Waveform"} <= tables or {"Recipe", "Sweep", "DataFrame"} <= tables


def test_both_tutorials_have_a_notebook_that_links_to_them() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare-freezing", "first-voice"]
    for path, tutorial in zip(NOTEBOOKS, ("compare-freezing-depths.md", "first-voice.md"), strict=True):
        assert tutorial in "".join("".join(cell["source"]) for cell in cells(path))
        assert f"]({path.name})" in (path.parent / tutorial).read_text(encoding="utf-8")
