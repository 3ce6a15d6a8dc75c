"""What is printed after an epoch."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from vczoo.io.progress import FileBar, ProgressBar, distinct_figures

FIGURES = {"loss": 0.8, "voice.loss": 0.65, "voice.l1": 0.65, "speaker.loss": 0.5, "speaker.accuracy": 1.0}


def test_no_figure_is_printed_twice() -> None:
    assert distinct_figures(FIGURES) == {"loss": 0.8, "voice.l1": 0.65, "speaker.accuracy": 1.0}
    assert distinct_figures(FIGURES, ["speaker"]) == {"loss": 0.8, "voice.l1": 0.65}
    assert distinct_figures({"loss": 0.65, "voice.loss": 0.65, "voice.l1": 0.65}) == {"loss": 0.65}
    assert distinct_figures({"loss": 0.9, "extra.loss": 0.3}) == {"loss": 0.9, "extra.loss": 0.3}


def record(epoch: int, **more: float) -> dict[str, object]:
    return {"epoch": epoch, "train": {"loss": 0.7}, "validation": FIGURES | more, "seconds": 1.25}


def test_epochs_are_lines_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as bar:
        bar.epoch(record(0))
        bar.epoch(record(12))
    assert capsys.readouterr().err.splitlines() == [
        " epoch  train loss  validation loss  voice.l1  speaker.accuracy  seconds",
        "     0       0.700            0.800     0.650             1.000      1.2",
        "    12       0.700            0.800     0.650             1.000      1.2",
    ]


def test_in_a_notebook_epochs_are_plain_lines_on_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *_: pytest.fail("a block of HTML"))
    with ProgressBar() as bar:
        bar.step(0.5)
        bar.epoch(record(0))
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split()[0] for line in out.splitlines()] == ["epoch", "0"]


def test_a_line_of_many_figures_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(["speaker"]) as bar:
        bar.epoch(record(3, similarity=0.71, character_error=0.25, **{"emotion.recall": 0.5, "text.wer": 0.125}))
    heading, line = capsys.readouterr().err.splitlines()
    assert len(heading) == len(line) <= 80
    assert heading.split("  ")[-1].strip() == "seconds"
    assert "similarity" in heading
    assert "speaker" not in heading
    assert "text.wer" not in heading


def test_names_from_outside_do_not_control_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    name = "x\x1b]0;title\x07\u202e\n[bold]y.wav"
    with ProgressBar() as bar, FileBar(2) as files:
        bar.say(f"skipped: {name}")
        files.done(name)
        files.progress.refresh()
    told = capsys.readouterr().err
    assert r"x\x1b]0;title\x07\u202e" in told
    assert r"x\x1b]0;title\x07\u202e\n[bold]y.wav" in told  # of the bar, which has one line
    assert not {"\x1b]", "\x07", "\u202e"} & {told[i : i + n] for n in (1, 2) for i in range(len(told))}
