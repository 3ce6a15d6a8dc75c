"""The conformance suite: an entry in; a `Result` for each named check out, or a `ContractError` at the first fault."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from vczoo.errors import ContractError, PluginError, VczooError
from vczoo.io.text import nearest
from vczoo.modules.interfaces.backbone import Backbone, Freezing
from vczoo.modules.interfaces.heads import FrameHead, LabelHead, SpeakerHead, TextHead, VoiceHead
from vczoo.modules.interfaces.vocoder import Vocoder, Watermark
from vczoo.registry.entry import Entry, Kind
from vczoo.testing.checks.backbones import BACKBONE_CHECKS
from vczoo.testing.checks.entries import check_about, check_light
from vczoo.testing.checks.expectations import expect, expect_kind
from vczoo.testing.checks.exports import EXPORT_CHECKS
from vczoo.testing.checks.freezing import FREEZING_CHECKS
from vczoo.testing.checks.heads import HEAD_CHECKS
from vczoo.testing.checks.modules import MODULE_CHECKS
from vczoo.testing.checks.names import OF_ENTRIES, checks_of
from vczoo.testing.checks.specimen import Specimen, UnsupportedError, missing_options
from vczoo.testing.checks.vocoders import VOCODER_CHECKS
from vczoo.testing.checks.watermarks import WATERMARK_CHECKS

__all__ = ["CLASSES", "Conformance", "Result", "check_entry", "conformance"]

LONGEST = 500  # characters of an error that is not ours
Outcome = Literal["passed", "failed", "skipped"]
CLASSES: dict[str, Any] = {
    "backbone": Backbone,
    "freezing": Freezing,
    "head": SpeakerHead | VoiceHead | TextHead | LabelHead | FrameHead,
    "vocoder": Vocoder,
    "watermark": Watermark,
}


@dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes:
        name: of the check.
        kind: what it looks at: entry, or the part's kind.
        outcome: passed, failed or skipped.
        detail: what is wrong, or why it was skipped; empty where it passed.
        seconds: that it took.
    """

    name: str
    kind: str
    outcome: Outcome
    detail: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.outcome != "failed"

    def to_plain(self) -> dict[str, Any]:
        """The result as plain values."""
        return asdict(self)


class Conformance:
    """The checks of one entry, by name; its part is built once, when the first check needs it.

    Args:
        entry: to be checked.
        options: for its factory, beside its own `check_with`.
        module: that registers it, which is to be light; not checked if empty.
    """

    def __init__(self, entry: Entry, options: Mapping[str, Any] | None = None, module: str = "") -> None:
        self.entry, self.options, self.module = entry, dict(options or {}), module
        self._specimen: Specimen | Exception | None = None
        self._build_seconds = 0.0

    def names(self) -> tuple[str, ...]:
        """The checks, in their order."""
        return checks_of(self.entry)

    def specimen(self) -> Specimen:
        """The part and what is known of it.

        Raises:
            Exception: whatever building it raised.
        """
        if self._specimen is None:
            start = time.perf_counter()
            try:
                if lacking := missing_options(self.entry, self.options):
                    raise UnsupportedError(
                        f"it cannot be built without {', '.join(lacking)}: give that in `check_with` or in the tests"
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
            ContractError: the promise is broken; the message names entry, check and promise.
            PluginError: the factory cannot be imported.
            UnsupportedError: it does not apply; the message says why.
        """
        try:
            self._run(name)
        except (PluginError, UnsupportedError):
            raise
        except Exception as error:
            said = str(error) if isinstance(error, ContractError) else f"{type(error).__name__}: {error}"[:LONGEST]
            raise ContractError(f"{self.entry.kind} {self.entry.name!r}, {name}: {said}") from error

    def result(self, name: str) -> Result:
        """Run one check and say what it found."""
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
        """Run every check; where the part cannot be built, those before that one and `builds` alone."""
        for name in self.names():
            result = self.result(name)
            yield result
            if name == "builds" and result.outcome != "passed":
                return

    def _run(self, name: str) -> None:
        if name in OF_ENTRIES:
            if name == "about":
                check_about(self.entry)
            elif self.module:
                check_light(self.module)
            else:
                raise UnsupportedError("which module registers it is not known here")
            return
        specimen = self.specimen()
        expect_kind(specimen.part, CLASSES[self.entry.kind], "the part")
        if name == "no_network":
            expect(not specimen.contacts, f"with random weights nothing is asked of the network: {specimen.contacts}")
        elif name != "builds":
            checks = {check.__name__: check for check in _part_checks(self.entry.kind)}
            if name not in checks:
                raise ContractError(f"no check is called {name!r}{nearest(name, checks)}")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                checks[name](specimen)


def conformance(entry: Entry, **options: Any) -> tuple[Result, ...]:
    """Run every check on an entry's part, built with these options, its `check_with` and random weights.

    Returns:
        A result a check, in their order. Where the part cannot be built, those that need it are left out; where
        nobody gives what its factory must be given, `builds` is skipped.
    """
    return tuple(Conformance(entry, options).results())


def check_entry(entry: Entry, **options: Any) -> None:
    """Build an entry's part with these options, or its defaults and random weights, and run every check on it.

    Raises:
        PluginError: its factory cannot be imported.
        ContractError: it breaks a promise; the message names entry, check and promise.
    """
    suite = Conformance(entry, options)
    for name in suite.names():
        with suppress(UnsupportedError):
            suite.run(name)


PartCheck = Callable[[Specimen], None]


def _part_checks(kind: Kind) -> tuple[PartCheck, ...]:
    return _OF_KINDS[kind] if kind == "freezing" else _OF_KINDS[kind] + MODULE_CHECKS + EXPORT_CHECKS


_OF_KINDS: dict[Kind, tuple[PartCheck, ...]] = {
    "backbone": BACKBONE_CHECKS,
    "freezing": FREEZING_CHECKS,
    "head": HEAD_CHECKS,
    "vocoder": VOCODER_CHECKS,
    "watermark": WATERMARK_CHECKS,
}
