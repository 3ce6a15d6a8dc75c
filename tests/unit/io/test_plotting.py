"""Names of voices and recordings in plots are text, never formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vczoo.audio.waveform import Waveform
from vczoo.evaluation.plots import plot_contours, plot_mels
from vczoo.io.plotting import one_axes, save, set_title


@pytest.mark.parametrize("name", ["$_$", "$\\frac{$", "a\x1b]0;b", "\u202ex"])
@pytest.mark.filterwarnings("error")
def test_a_name_is_not_a_formula(tmp_path: Path, name: str) -> None:
    figure, axes = one_axes(4.0, 3.0)
    axes.plot([1, 2], [3, 4], label=name)
    axes.set(xlabel=name, ylabel=name)
    axes.set_xticks([1, 2], [name.replace("\x1b", ""), "$_$"])
    axes.annotate(name, (1, 3))
    axes.legend()
    set_title(axes, name)
    figure.suptitle(name)
    assert save(figure, tmp_path / "a.png").is_file()


def test_the_numbers_of_a_logarithmic_axis_stay_formulas(tmp_path: Path) -> None:
    figure, axes = one_axes(4.0, 3.0)
    axes.plot([1, 1e6], [1, 2])
    axes.set_xscale("log")
    save(figure, tmp_path / "a.svg")
    assert (
        "mathdefault"
        not in (tmp_path / "a.svg").read_text().split("</metadata>")[-1].replace("<!--", "").split("-->")[-1]
    )


def test_the_plots_of_an_evaluation_take_any_name(tmp_path: Path) -> None:
    samples = torch.from_numpy(np.sin(np.arange(8000) / 10).astype(np.float32))
    waves = {"$_$ as $^$": Waveform.of(0.5 * samples, 16000)}
    assert plot_contours(waves, tmp_path / "a.png", "$_$.wav").is_file()
    assert plot_mels(waves, tmp_path / "b.png", "$_$.wav").is_file()
