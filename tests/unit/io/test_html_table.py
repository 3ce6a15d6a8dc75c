"""Tables for notebooks: of recipes, reports and sweeps. Names from others are never read as HTML."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from vczoo.audio.waveform import Waveform
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Report, Scores
from vczoo.io.html_table import html_table
from vczoo.models.recipe import read_recipe
from vczoo.training.sweeps.sweep import Sweep
from vczoo.training.sweeps.table import Table


def cells(html: str) -> list[str]:
    return re.findall(r"<t[hd]>(.*?)</t[hd]>", html)


def test_a_table_escapes_what_others_wrote() -> None:
    html = html_table([{"a<b": "<script>", "c": 1.5}], ["<b>note</b>"])
    assert cells(html) == ["a&lt;b", "c", "&lt;script&gt;", "1.5"]
    assert html.endswith("<div>&lt;b&gt;note&lt;/b&gt;</div>")
    assert html_table([]) == "<table><thead><tr></tr></thead><tbody></tbody></table>"


def test_a_recipe_is_a_table_of_its_parts() -> None:
    found = cells(read_recipe("demo")._repr_html_())
    assert found[:3] == ["part", "use", "options"]
    assert found[3:5] == ["backbone", "mel-conv"]
    assert "head voice" in found
    assert "griffin-lim" in found


def test_a_report_is_a_table_of_measures() -> None:
    report = Report((Scores("mine", "system", {"wer": Figure(0.25, 0.2, 0.3, 9)}),), notes=("two trials",))
    html = report._repr_html_()
    assert "mine" in cells(html)
    assert "0.250 ±0.050" in cells(html)
    assert "two trials" in html


def test_a_sweep_without_cells_is_its_notes() -> None:
    html = Sweep(Path("x"), Table((), (), ()), notes=("no cell is trained",))._repr_html_()
    assert "no cell is trained" in html


def test_a_waveform_is_an_array() -> None:
    samples = torch.tensor([0.0, 0.5, -0.5])
    wave = Waveform.of(samples, 16000)
    assert wave.numpy().shape == (3,)
    assert np.array_equal(np.asarray(wave), samples.numpy())
    assert np.asarray(wave, dtype=np.float64).dtype == np.float64
    batch = Waveform.batch([wave, Waveform.of(samples[:2], 16000)])
    assert np.asarray(batch).shape == (2, 3)
    copy = np.array(wave, copy=True)
    copy[0] = 1.0
    assert wave.samples[0, 0] == 0.0
