"""Writing of reports: `write_report` makes the page of a run, a sweep, an evaluation or a comparison."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load, read_name
from vczoo.errors import RunError, VczooError
from vczoo.io.files import PRIVATE, open_file, write_fault, write_text
from vczoo.io.precision import single_precision
from vczoo.models.bundled import is_bundled
from vczoo.reporting.blocks import Page
from vczoo.reporting.comparison_page import MOST_RUNS, comparison_page
from vczoo.reporting.evaluation_page import evaluation_page, is_evaluation
from vczoo.reporting.page import GENERATOR, render
from vczoo.reporting.run_page import run_page
from vczoo.reporting.sweep_page import is_sweep, sweep_page
from vczoo.runs.run import is_run

__all__ = ["REPORT", "write_report"]

REPORT = "report.html"

Location = str | os.PathLike[str]


@single_precision()
def write_report(
    name: Converter | Location | Sequence[Converter | Location],
    out: Location | None = None,
    *,
    data: Location | Sequence[Location] | None = None,
    device: str | None = None,
) -> Path:
    """Write a report as one HTML file: of a run, of a sweep, of an evaluation, or one that compares runs.

    The file needs no network and nothing else. A run's has a few seconds of held-out recordings before and after
    conversion, so share it only with the consent of the people in it.

    Args:
        name: A run's folder, a recipe or a run on the Hub, as for `load`, or a loaded converter; the folder of a sweep;
            or a folder that `evaluate` wrote to. Two to six runs in a list are compared.
        out: The file to write. By default `report.html` in the folder; a comparison needs one. An earlier report
            is replaced, and no other file.
        data: Recordings to convert and to recognize, as for `finetune`. By default those that a run was trained on, if
            they are still there. Only their test split is used, or without one the validation split.
        device: Torch device to compute on. By default a GPU, if there is one; a loaded converter keeps its own.

    Returns:
        The file that was written.

    Raises:
        RunError: There is no such run, sweep or evaluation, it cannot be read, or `out` is another file or cannot be
            written.
        CorpusError: `data` cannot be read.
        VczooError: `data` is given for a sweep or an evaluation; `out` is missing, and there is no folder to write
            to; or a comparison is of fewer than two or more than six runs, or not of runs.
    """
    if isinstance(name, list | tuple):
        return _write_comparison(name, out, data, device)
    assert isinstance(name, Converter | str | os.PathLike)
    folder = None if isinstance(name, Converter) else Path(name).expanduser()
    of_tables = folder is not None and not is_run(folder) and (is_sweep(folder) or is_evaluation(folder))
    if of_tables and data is not None:
        raise VczooError(f"{folder} is a sweep or an evaluation, whose report needs no recordings; leave data out")
    path = _path(name, folder if of_tables else None, out)
    _check(path)
    if of_tables:
        assert folder is not None
        page = sweep_page(folder) if is_sweep(folder) else evaluation_page(folder)
    else:
        converter = name if isinstance(name, Converter) else load(name, device=device)
        page = run_page(converter, _title(name, converter), data)
    return _write(page, path)


def _write_comparison(
    names: Sequence[Converter | Location],
    out: Location | None,
    data: Location | Sequence[Location] | None,
    device: str | None,
) -> Path:
    if out is None:
        raise VczooError("a comparison belongs to no folder; say where to write it, with --out FILE.html")
    path = Path(out)
    _check(path)
    if not 2 <= len(names) <= MOST_RUNS:
        raise VczooError(f"a comparison takes 2 to {MOST_RUNS} runs, got {len(names)}; name others, or fewer")
    runs: dict[str, Converter] = {}
    for name in names:
        if not isinstance(name, Converter) and (is_sweep(Path(name)) or is_evaluation(Path(name))):
            raise VczooError(f"{name} is a sweep or an evaluation, which has a report of its own; compare runs")
        converter = name if isinstance(name, Converter) else load(name, device=device)
        title = _title(name, converter)
        if title in runs:  # two folders of one name
            title = f"{os.fspath(_text(name))} ({len(runs) + 1})"
        runs[title] = converter
    return _write(comparison_page(runs, data), path)


def _write(page: Page, path: Path) -> Path:
    try:
        write_text(path, render(page), mode=PRIVATE)  # it has recordings of people
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror or error}); choose another --out") from error
    return path


def _title(name: Converter | Location, converter: Converter) -> str:
    """The name of a run on a page."""
    folder = converter.run.folder
    title = folder.resolve().name if folder and isinstance(name, Converter) else Path(os.fspath(_text(name))).name
    return title or converter.recipe.name


def _text(name: Converter | Location) -> Location:
    return name.recipe.name if isinstance(name, Converter) else name


def _path(name: Converter | Location, folder: Path | None, out: Location | None) -> Path:
    """The file to write."""
    if out is not None:
        return Path(out)
    if folder is None:
        folder = _folder_of(name) if isinstance(name, Converter) else _own_folder(name)
    if folder is None:
        raise VczooError(f"{_text(name)} is not a folder of yours; say where to write its report, with --out FILE.html")
    return folder / REPORT


def _folder_of(converter: Converter) -> Path | None:
    """The folder of a run of the user's; None for a bundled run, and for one in the cache of the Hub."""
    run = converter.run
    return None if run.folder is None or is_bundled(run.folder) or "@" in run.revision else run.folder


def _own_folder(name: Location) -> Path | None:
    kind, location = read_name(name)
    return Path(location) if kind == "run" else None


def _check(path: Path) -> None:
    """Raise RunError, before anything is computed, unless the report can be written."""
    if path.suffix.lower() not in {".html", ".htm"}:
        raise RunError(f"{path}: a report is HTML; choose a name that ends in .html")
    if path.exists():
        try:
            with open_file(path) as file:
                is_report = GENERATOR.encode() in file.read(2000)
        except OSError:
            is_report = False
        if not is_report:
            raise RunError(f"{path} exists and is not a report of vczoo; choose another --out, or remove it")
    if fault := write_fault(path):
        raise RunError(f"{path} cannot be written ({fault}); choose another --out")
