"""Conformance checks of evaluation metrics. Each check takes a `Specimen` and raises `ContractError` if it fails."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from vczoo.audio.waveform import Waveform
from vczoo.errors import PluginError
from vczoo.modules.interfaces.metric import FIGURE_NAME, Case, Column
from vczoo.testing.checks.expectations import expect
from vczoo.testing.checks.pitch import buzz
from vczoo.testing.checks.specimen import Specimen, UnsupportedError

__all__ = ["METRIC_CHECKS"]

RATE_HZ = 16000
SHORTEST_SECONDS = 0.02  # of the recordings that vczoo reads


def columns(specimen: Specimen) -> None:
    """Every figure has a name, a title and a direction, and no two have one name."""
    listed = specimen.part.columns
    expect(
        isinstance(listed, tuple) and bool(listed) and all(isinstance(column, Column) for column in listed),
        f"`columns` must be a tuple of at least one vczoo.Column, got {listed!r}",
    )
    for column in listed:
        expect(
            bool(FIGURE_NAME.fullmatch(column.name)),
            f"a figure's name must be lowercase letters, digits and underscores, got {column.name!r}",
        )
        expect(bool(column.title) and "\n" not in column.title, f"the title of {column.name!r} must be one line")
        expect(
            isinstance(column.higher_is_better, bool), f"`higher_is_better` of {column.name!r} must be True or False"
        )
    names = [column.name for column in listed]
    expect(len(set(names)) == len(names), f"names of figures must differ, got {', '.join(names)}")


def figures(specimen: Specimen) -> None:
    """Every figure is computed for a conversion with a source, a parallel recording and a text."""
    case = Case(_voice(150.0), _voice(120.0), _voice(140.0), "a text")
    measured = _measure(specimen, case, "a conversion")
    missing = [column.name for column in specimen.part.columns if column.name not in measured]
    expect(
        not missing,
        "every column must be computed for a conversion that has a source, a parallel recording and a text; missing: "
        + ", ".join(missing),
    )
    again = _measure(specimen, case, "a conversion")
    expect(measured == again, f"`measure` must return the same for the same case, got {measured} and {again}")


def partial(specimen: Specimen) -> None:
    """What a case lacks is no error: figures that need it are left out."""
    _measure(specimen, Case(_voice(150.0)), "real speech, without a source")
    _measure(specimen, Case(_voice(150.0), _voice(120.0)), "a conversion without a parallel recording and text")


def empty(specimen: Specimen) -> None:
    """Silence, and a recording of hardly any length, have finite figures or none."""
    silent = Waveform.of(torch.zeros(1, RATE_HZ), RATE_HZ)
    short = Waveform.of(_voice(150.0).samples[:, : round(SHORTEST_SECONDS * RATE_HZ)], RATE_HZ)
    for wave, what in ((silent, "silence"), (short, f"a recording of {SHORTEST_SECONDS:g} s")):
        _measure(specimen, Case(wave, wave, wave), what)
        _measure(specimen, Case(wave, _voice(120.0), _voice(140.0), "a text"), what)


def _measure(specimen: Specimen, case: Case, what: str) -> Mapping[str, float]:
    try:
        measured = specimen.part.measure(case)
    except PluginError as error:  # a library that the metric needs is not installed
        raise UnsupportedError(str(error)) from error
    expect(isinstance(measured, Mapping), f"`measure` must return a mapping, got {type(measured).__name__}")
    for name, value in measured.items():
        expect(
            isinstance(value, float | int) and math.isfinite(value),
            f"figures must be finite numbers, or left out; {name} of {what} is {value!r}",
        )
    return dict(measured)


def _voice(f0_hz: float) -> Waveform:
    """A tone with harmonics whose F0 and loudness vary, for one second."""
    times = np.arange(RATE_HZ) / RATE_HZ
    bent = np.interp(times + 0.002 * np.sin(2 * np.pi * 2 * times), times, buzz(f0_hz, 1.0, RATE_HZ))
    return Waveform.of(torch.from_numpy(bent * (1 + 0.5 * np.sin(2 * np.pi * 3 * times))).float()[None], RATE_HZ)


METRIC_CHECKS = (columns, figures, partial, empty)
