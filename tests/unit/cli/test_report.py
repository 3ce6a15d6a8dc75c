"""`vczoo report`, and the reports that other commands add."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  (on a new machine its first import starts fc-list)
import pytest

from tests.unit.cli.conftest import Command
from vczoo.cli.evaluate import _add_reports
from vczoo.cli.report import add_report
from vczoo.errors import CorpusError
from vczoo.runs.run import MANIFEST


@pytest.fixture
def bare(run_folder: Path) -> Path:
    (run_folder / MANIFEST).unlink()
    return run_folder


def test_the_page_is_named_with_its_size(command: Command, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bare.parent)
    code, out, _ = command("report", bare.name)
    assert code == 0
    assert out.startswith("run/report.html: 0.")
    assert out.endswith(" MB; open it in a browser\n")
    assert (bare / "report.html").is_file()


def test_nothing_to_report_on_is_an_error(command: Command, tmp_path: Path) -> None:
    code, _, err = command("report", f"{tmp_path}/none")
    assert code == 1
    assert "no such folder" in err


@pytest.mark.parametrize("error", [CorpusError("gone\naway"), OSError(28, "No space"), ImportError("no matplotlib")])
def test_a_report_that_fails_costs_a_line_and_nothing_else(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("vczoo.reporting.write.write_report", refuse)
    assert add_report(tmp_path) is None
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("there is no report.html: ")
    assert printed.err.count("\n") == 1


def test_a_file_of_that_name_is_left_alone(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "report.html").write_text("mine")
    assert add_report(Path(shutil.copytree(bare, bare.parent / "copy"))) is None
    assert "is not a report of vczoo" in capsys.readouterr().err
    assert (bare.parent / "copy" / "report.html").read_text() == "mine"


def test_an_evaluation_renews_the_report_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write(folder: Path) -> Path:
        written.append(folder)
        return folder / "report.html"

    monkeypatch.setattr("vczoo.reporting.write.write_report", write)
    folder = tmp_path / "run" / "evaluation"
    folder.mkdir(parents=True)
    assert _add_reports(folder) == ", report.html"
    (tmp_path / "run" / "report.html").touch()
    _add_reports(folder)
    assert written == [folder, folder, tmp_path / "run"]
