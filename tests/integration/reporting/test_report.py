"""Reports that commands write when they end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.html_page import parse_page
from vczoo.cli.app import main

pytestmark = pytest.mark.slow


def vczoo(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["vczoo", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0)


def test_a_fine_tune_leaves_a_page_with_its_curves(
    voices_folder: Path,
    tmp_path: Path,
    small: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert vczoo(monkeypatch, "train", "demo", "--data", voices_folder, "--out", tmp_path / "run", *small) == 0
    assert f"{tmp_path / 'run' / 'report.html'}: sounds, curves and figures" in capsys.readouterr().out
    page = parse_page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert "over 3 epochs" in page.named("training").all("svg")[0].attributes["aria-label"]
    assert len(page.named("listen").all("audio")) >= 3
    assert "Confusion matrix" in page.named("recognition").text


def test_a_sweep_leaves_a_page(
    voices_folder: Path, tmp_path: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [setting for setting in small if not setting.startswith("training.epochs")]
    words = ("--grid", "training.epochs=1,2", "--measure", "accuracy", "--data", voices_folder)
    assert vczoo(monkeypatch, "sweep", "demo", *words, "--out", tmp_path / "sweep", *settings) == 0
    page = parse_page((tmp_path / "sweep" / "report.html").read_text(encoding="utf-8"))
    assert "2 cells, 2 of them trained" in page.text
    assert page.named("plots").all("svg")
