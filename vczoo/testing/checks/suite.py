"""Conformance suite, which runs the checks of an entry by name."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from vczoo.audio.pitch import PitchTracker
from vczoo.errors import ContractError, PluginError, VczooError
from vczoo.io.text import nearest
from vczoo.modules.interfaces.backbone import Backbone, Freezing
from vczoo.modules.interfaces.head import Head, check_declaration
from vczoo.modules.interfaces.heads import KINDS
from vczoo.modules.interfaces.metric import Metric
from vczoo.modules.interfaces.vocoder import Vocoder, Watermark
from vczoo.registry.entry import Entry, Kind
from vczoo.testing.checks.backbones import BACKBONE_CHECKS
from vczoo.testing.checks.entries import check_about, check_light
from vczoo.testing.checks.expectations import expect, expect_kind
from vczoo.testing.checks.exports import EXPORT_CHECKS
from vczoo.testing.checks.freezing import FREEZING_CHECKS
from vczoo.testing.checks.heads import HEAD_CHECKS
from vczoo.testing.checks.metrics import METRIC_CHECKS
from vczoo.testing.checks.modules import MODULE_CHECKS
from vczoo.testing.checks.names import OF_ENTRIES, checks_of
from vczoo.testing.checks.pitch import PITCH_CHECKS
from vczoo.testing.checks.specimen import Specimen, UnsupportedError, missing_options
from vczoo.testing.checks.vocoders import VOCODER_CHECKS
from vczoo.testing.checks.watermarks import WATERMARK_CHECKS

__all__ = ["CLASSES", "Conformance", "Result", "check_entry", "conformance"]

LONGEST = 500  # characters shown of an error that is not a ContractError
Outcome = Literal["passed", "failed", "skipped"]
CLASSES: dict[str, Any] = {
    "backbone": Backbone,
    "freezing": Freezing,
    "head": Head,
    "vocoder": Vocoder,
    "pitch": PitchTracker,
    "metric": Metric,
    "watermark": Watermark,
}


@dataclass(frozen=True)
class Result:
    """Result of one check.

    Attributes:
        name: Name of the check.
        kind: What was checked: entry, recipe, or the kind of the part.
        outcome: Whether the check passed, failed or was skipped.
        detail: What is wrong, or why the check was skipped; empty if it passed.
        seconds: How long the check took.
    """

    name: str
    kind: str
    outcome: Outcome
    detail: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the check did not fail; a skipped check counts as passed."""
        return self.outcome != "failed"

    def to_plain(self) -> dict[str, Any]:
        """The result as a dictionary of plain values, for JSON."""
        return asdict(self)


class Conformance:
    """Runner of the checks of one entry. The part is built once, when a check first needs it.

    Args:
        entry: Entry to check.
        options: Options for its factory, in addition to the entry's `check_with`.
        module: Module that registers the entry, for the check `light`; if empty, that check is skipped.
    """

    def __init__(self, entry: Entry, options: Mapping[str, Any] | None = None, module: str = "") -> None:
        self.entry, self.options, self.module = entry, dict(options or {}), module
        self._specimen: Specimen | Exception | None = None
        self._build_seconds = 0.0

    def names(self) -> tuple[str, ...]:
        """Names of the checks, in order."""
        return checks_of(self.entry)

    def specimen(self) -> Specimen:
        """Build the part once, and return it with its inputs.

        Raises:
            UnsupportedError: The factory needs an option that is not set.
            Exception: Any error that building the part raised.
        """
        if self._specimen is None:
            start = time.perf_counter()
            try:
                if missing := missing_options(self.entry, self.options):
                    raise UnsupportedError(
                        f"cannot be built without {', '.join(missing)}; set it in `check_with`, or pass it in the tests"
                    )
                self._specimen = Specimen.built(self.entry, self.options)
            except Exception as error:
                self._specimen = error
            self._build_seconds = time.perf_counter() - start
        if isinstance(self._specimen, Exception):
            raise self._specimen
        return self._specimen

    def run(self, name: str) -> None:
        """Run one check.

        Raises:
            ContractError: The check fails; the message names the entry and the check, and says what is wrong.
            PluginError: The factory cannot be imported.
            UnsupportedError: The check does not apply; the message says why.
        """
        try:
            self._run(name)
        except (PluginError, UnsupportedError):
            raise
        except Exception as error:
            message = str(error) if isinstance(error, ContractError) else self._describe(error)
            raise ContractError(f"{self.entry.kind} {self.entry.name!r}, {name}: {message}") from error

    def result(self, name: str) -> Result:
        """Run one check, and return its result instead of raising."""
        outcome: Outcome = "passed"
        start, detail = time.perf_counter(), ""
        try:
            self.run(name)
        except UnsupportedError as error:
            outcome, detail = "skipped", str(error)
        except VczooError as error:
            outcome, detail = "failed", str(error)
        seconds = self._build_seconds if name == "builds" else time.perf_counter() - start
        return Result(name, "entry" if name in OF_ENTRIES else self.entry.kind, outcome, detail, seconds)

    def results(self) -> Iterator[Result]:
        """Run the checks in order. If the part cannot be built, stop after the check `builds`."""
        for name in self.names():
            result = self.result(name)
            yield result
            if name == "builds" and result.outcome != "passed":
                return

    def _describe(self, error: Exception) -> str:
        """The error and the place in the plugin's code that it came through last."""
        package = self.entry.factory.partition(":")[0].partition(".")[0]
        places = [
            f" ({frame.f_code.co_filename}:{line}, in {frame.f_code.co_name})"
            for frame, line in traceback.walk_tb(error.__traceback__)
            if f"{frame.f_globals.get('__name__')}.".startswith(f"{package}.") and package != "vczoo"
        ]
        return f"{type(error).__name__}: {error}"[:LONGEST] + (places[-1] if places else "")

    def _run(self, name: str) -> None:
        if name in OF_ENTRIES:
            if name == "about":
                check_about(self.entry)
            elif self.module:
                check_light(self.module)
            else:
                raise UnsupportedError("the module that registers the entry is not known")
            return
        specimen = self.specimen()
        expect_kind(specimen.part, CLASSES[self.entry.kind], "the part")
        if self.entry.kind == "head":
            check_declaration(specimen.part, KINDS)
        if name == "no_network":
            expect(
                not specimen.contacts,
                f"building with random weights must not access the network, got {', '.join(specimen.contacts)}",
            )
        elif name != "builds":
            checks = {check.__name__: check for check in _part_checks(self.entry.kind)}
            if name not in checks:
                raise ContractError(f"no check is called {name!r}{nearest(name, checks)}")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                checks[name](specimen)


def conformance(entry: Entry, **options: Any) -> tuple[Result, ...]:
    """Run every check on an entry. Its part is built with these options, its `check_with` and random weights.

    Args:
        entry: Entry to check.
        **options: Options for its factory.

    Returns:
        One result per check, in order. If the part cannot be built, the checks that need it are left out. If a required
        option of the factory is not set, `builds` is skipped.
    """
    return tuple(Conformance(entry, options).results())


def check_entry(entry: Entry, **options: Any) -> None:
    """Run every check on an entry, and raise at the first that fails.

    Args:
        entry: Entry to check. Its part is built with random weights.
        **options: Options for its factory, in addition to the entry's `check_with`.

    Raises:
        PluginError: The factory cannot be imported.
        ContractError: A check fails; the message names the entry and the check, and says what is wrong.
    """
    suite = Conformance(entry, options)
    for name in suite.names():
        with suppress(UnsupportedError):
            suite.run(name)


PartCheck = Callable[[Specimen], None]


def _part_checks(kind: Kind) -> tuple[PartCheck, ...]:
    return (
        _OF_KINDS[kind] if kind in ("freezing", "pitch", "metric") else _OF_KINDS[kind] + MODULE_CHECKS + EXPORT_CHECKS
    )


_OF_KINDS: dict[Kind, tuple[PartCheck, ...]] = {
    "backbone": BACKBONE_CHECKS,
    "freezing": FREEZING_CHECKS,
    "head": HEAD_CHECKS,
    "vocoder": VOCODER_CHECKS,
    "pitch": PITCH_CHECKS,
    "metric": METRIC_CHECKS,
    "watermark": WATERMARK_CHECKS,
}
