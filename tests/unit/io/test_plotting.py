"""Names of voices and recordings in plots are text, never formulas."""

from __future__ import annotations

from pathlib import Path

import matplotlib.font_manager  # noqa: F401  (on a new machine its first import starts fc-list)
import numpy as np
import pytest
import torch

from tests.support.colors import contrast, lab, linear
from vczoo.audio.waveform import Waveform
from vczoo.evaluation.plots import plot_contours, plot_mels
from vczoo.io.plotting import COLORS, DARK, GREY, INK, PAPER, folded, legend_below, one_axes, save, set_title


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


# Machado, Oliveira and Fernandes 2009, severity 1.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
DRAWN = (INK, GREY, *COLORS)


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("page", ["light", "dark"])
def test_any_two_colors_can_be_told_apart(page: str, blindness: str) -> None:
    colors = [DARK[color] if page == "dark" else color for color in DRAWN]
    seen = [lab(np.clip(np.array(BLINDNESS[blindness]) @ linear(color), 0, 1)) for color in colors]
    distances = {
        (a, b): np.linalg.norm(seen[i] - seen[j]) for i, a in enumerate(colors) for j, b in enumerate(colors) if i < j
    }
    assert min(distances.values()) > 20, min(distances, key=lambda pair: distances[pair])  # 2.3 is barely visible


@pytest.mark.parametrize("color", DRAWN)
def test_every_color_stands_out_from_the_page(color: str) -> None:
    assert contrast(color, PAPER) >= 3
    assert contrast(DARK[color], DARK[PAPER]) >= 3


def test_letters_are_legible_on_both_pages() -> None:
    assert contrast(INK, PAPER) >= 7
    assert contrast(DARK[INK], DARK[PAPER]) >= 7


def test_long_titles_are_folded() -> None:
    assert folded("a" * 10) == "a" * 10
    assert max(map(len, folded("word " * 40).split("\n"))) <= 54
    assert folded("one\ntwo") == "one\ntwo"


def test_a_legend_is_below_the_label_of_the_axis() -> None:
    for height in (2.5, 5.0):
        figure, axes = one_axes(4.0, height)
        axes.plot([1, 2], [3, 4], label="a")
        axes.set_xlabel("time in s")
        legend = legend_below(axes)
        figure.tight_layout()
        figure.draw_without_rendering()
        assert legend.get_window_extent().y1 <= axes.xaxis.label.get_window_extent().y0
