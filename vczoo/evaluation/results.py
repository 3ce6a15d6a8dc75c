"""Results file: a CSV of measured figures, one per row, that several machines can append to and compare.

Its columns are frozen. A file of another format or with other columns is refused, and never changed.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vczoo.errors import RunError
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.report import Role, Scores
from vczoo.io.files import open_file, write_text
from vczoo.io.lock import held

__all__ = ["FORMAT", "Result", "append_results", "check_results", "read_results", "result_rows", "results_of"]

FORMAT = 1  # of the columns, which are those of `Result` after a column `format`
LARGEST_BYTES = 1 << 28


@dataclass(frozen=True)
class Result:
    """One figure of one system, with everything that it depends on.

    Attributes:
        measured_at: Date and time of the evaluation, UTC, as in 2026-02-28T12:00:00Z. Its rows share it.
        recipe: Recipe of the model that was evaluated.
        weights: Name of its weights: of the run, or of what the recipe starts from.
        weights_sha256: Digest of all tensors of the model.
        trials: Name of the trial list.
        trials_sha256: SHA-256 of the trial list.
        trial_count: Number of trials in it.
        machine: System, architecture and number of cores, without the name of the machine.
        versions: Versions of Python and of the packages that compute, as in `python 3.11.2, torch 2.9.1`.
        threads: Number of torch's threads.
        seed: Seed of the bootstrap resampling.
        speaker_model: Name of the model that measures similarity and EER.
        asr: Names of the speech recognizers, the main one first, separated by `, `.
        words_against: What word errors are counted against.
        system: Name of the row in the report, such as `unconverted source`.
        role: floor, ceiling or system.
        figure: Name of the figure, as in metrics.json.
        value: The figure.
        low, high: Ends of its 95% interval; NaN, an empty cell, if there is none.
        count: Number of trials on which it could be measured.
    """

    measured_at: str
    recipe: str
    weights: str
    weights_sha256: str
    trials: str
    trials_sha256: str
    trial_count: int
    machine: str
    versions: str
    threads: int
    seed: int
    speaker_model: str
    asr: str
    words_against: str
    system: str
    role: Role
    figure: str
    value: float
    low: float
    high: float
    count: int


COLUMNS = ("format", *(field.name for field in fields(Result)))
_WHOLE = ("trial_count", "threads", "seed", "count")
_REAL = ("value", "low", "high")


def results_of(scores: Iterable[Scores], about: Mapping[str, Any]) -> list[Result]:
    """Return the figures of several systems as rows of a results file.

    Args:
        scores: Scores of the systems.
        about: The other columns, which all rows share.
    """
    return [
        Result(**about, system=one.system, role=one.role, figure=name, **asdict(figure))
        for one in scores
        for name, figure in one.figures.items()
    ]


def check_results(path: str | os.PathLike[str]) -> None:
    """Check that figures can be appended to a file, which need not exist. A long evaluation then does not fail late.

    Raises:
        RunError: As for `read_results`, and it is a folder or lies in none.
    """
    path = Path(path)
    if path.exists():
        read_results(path)
    elif not path.absolute().parent.is_dir():
        raise RunError(f"{path}: there is no folder {path.absolute().parent}; create it, or name another file")


def append_results(path: str | os.PathLike[str], results: Sequence[Result]) -> None:
    """Append rows to a results file, or create it. Either all rows are added or none, also if processes append at once.

    Raises:
        RunError: The file is not a results file of this format, or it cannot be written; it is then as it was.
    """
    path = Path(path)
    with held(path.with_name(f".{path.name}.lock"), what="another process appends here", waiting=lambda line: None):
        earlier = read_results(path) if path.exists() else []
        try:
            write_text(path, _to_csv([*earlier, *results]))
        except OSError as error:
            raise RunError(f"{path}: the results cannot be written ({error}); name another file") from error


def read_results(path: str | os.PathLike[str]) -> list[Result]:
    """Read a results file.

    Raises:
        RunError: There is no such file, it has another format or other columns, or a row cannot be read.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            text = file.read(LARGEST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or error
        raise RunError(f"{path}: the results cannot be read ({reason}); check the path") from error
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise RunError(f"{path}: this is not a CSV file ({error}); name another file") from error
    header = tuple(rows[0]) if rows else ()
    if header != COLUMNS:
        raise RunError(_other_columns(path, header))
    return [_read_row(path, number, row) for number, row in enumerate(rows[1:], start=2) if row]


def result_rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return results as a table: one row per system of an evaluation, with a column per figure.

    Floors and ceilings that several evaluations measured alike are listed once.
    """
    tables: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in results:
        owner = (one.measured_at, one.recipe, one.weights_sha256) if one.role == "system" else ()
        row = tables.setdefault(
            (one.trials_sha256, one.trial_count, one.speaker_model, one.asr, one.system, one.role, *owner),
            {
                "system": one.system,
                "role": one.role,
                "weights": one.weights if owner else "",
                "weights_sha256": one.weights_sha256 if owner else "",
                "trials": one.trials,
                "trial_count": one.trial_count,
                "speaker_model": one.speaker_model,
                "asr": one.asr,
                "machine": one.machine,
                "versions": one.versions,
                "measured_at": one.measured_at,
                "figures": {},
            },
        )
        row["figures"].setdefault(one.figure, Figure(one.value, one.low, one.high, one.count))
    return list(tables.values())


def _to_csv(results: Iterable[Result]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in results:
        cells = asdict(one).values()
        writer.writerow([FORMAT, *("" if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells)])
    return text.getvalue()


def _read_row(path: Path, number: int, row: Sequence[str]) -> Result:
    where = f"{path}, line {number}"
    if len(row) != len(COLUMNS):
        raise RunError(f"{where}: expected {len(COLUMNS)} cells, got {len(row)}; restore the file or remove the line")
    cells: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    if (version := cells.pop("format")) != str(FORMAT):
        raise RunError(f"{where}: the format is {version!r}, expected {FORMAT}; use the vczoo that wrote it")
    for names, kind in ((_WHOLE, int), (_REAL, float)):
        for name in names:
            try:
                cells[name] = kind(cells[name] or ("nan" if kind is float else ""))
            except ValueError:
                raise RunError(
                    f"{where}: {name} is {cells[name]!r}, expected a number; restore the file or remove the line"
                ) from None
    if cells["role"] not in ("floor", "ceiling", "system"):
        raise RunError(f"{where}: the role is {cells['role']!r}, expected floor, ceiling or system; restore the file")
    return Result(**cells)


def _other_columns(path: Path, header: Sequence[str]) -> str:
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    said = [f"{what}: {', '.join(names[:8])}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
    return (
        f"{path} is not a results file of format {FORMAT} ({'; '.join(said) or 'its columns are in another order'}), "
        "so nothing was changed; name a new file, and docs/evaluation.md has the columns"
    )
