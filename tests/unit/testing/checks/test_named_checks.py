"""Each named check finds the part that breaks its promise, and no other check of the same entry complains of it."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unit.testing.checks import test_backbones as backbones
from tests.unit.testing.checks import test_heads as others
from tests.unit.testing.checks import test_pitch_and_metrics as figures
from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.freezing.stages import None_, Partial
from vczoo.modules.heads.knn import KNN
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.vocoder import Watermark
from vczoo.modules.vocoders.griffin_lim import GriffinLim
from vczoo.registry.entry import Entry, Weights
from vczoo.testing import conformance
from vczoo.testing.checks.names import _BUILDING, _MODULES, _OF_KINDS


class Sound(MelConv):
    def __init__(self) -> None:
        super().__init__(width=4, blocks=1)


class Vocoder(GriffinLim):
    def __init__(self) -> None:
        super().__init__(iterations=2)


class Nan(Sound):
    def collect(self, activation: Tensor, lengths: Tensor) -> Frames:
        return super().collect(activation * torch.nan, lengths)


class HalfRate(Sound):
    def num_frames(self, num_samples: int) -> int:
        return max(1, super().num_frames(num_samples) // 2)


class HearsPadding(Sound):
    def prepare(self, wave: Waveform) -> Tensor:
        return super().prepare(wave) + wave.samples.shape[1] / 16000

    def forward(self, wave: Waveform) -> Frames:
        count = max(self.num_frames(length) for length in wave.lengths.tolist())
        lengths = torch.tensor([self.num_frames(length) for length in wave.lengths.tolist()])
        return self.collect(self.run(self.prepare(wave)), lengths).cut(count)


class Drifts(Sound):
    """A buffer of a frozen stage moves in training."""

    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        if self.training:
            self.trunk["stem"][1].running_mean += 0.1
        return super().run(activation, start, stop)


class Contacts(Sound):
    def __init__(self) -> None:
        super().__init__()
        with suppress(OSError):  # as a library does that goes on without
            socket.create_connection(("203.0.113.1", 9), timeout=0.01)


class Restless(Sound):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        Restless.made += 1
        with torch.no_grad():
            self.trunk["stem"][0].weight += 0.01 * Restless.made


class Forgets(Sound):
    """What it was made with is not among its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = float(torch.rand(()))

    def prepare(self, wave: Waveform) -> Tensor:
        return super().prepare(wave) + self.offset


class Heavy(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.trunk["stem"].register_parameter("weights", nn.Parameter(torch.full((2**19,), 0.5)))

    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        if start == 0:
            activation = activation + self.trunk["stem"].weights.mean()
        return super().run(activation, start, stop)


class Bfloat16Overflows(Sound):
    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        found = super().run(activation, start, stop)
        return found * torch.nan if found.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu") else found


class Float64Differs(Sound):
    def run(self, activation: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        found = super().run(activation.to(self.trunk["stem"][0].weight.dtype), start, stop)
        return found * 2 if found.dtype == torch.float64 else found


class StaysBehind(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.one = torch.ones(1)

    def prepare(self, wave: Waveform) -> Tensor:
        return super().prepare(wave) * self.one


class KeepsState(Sound):
    """What one call leaves on the part, another reads."""

    def prepare(self, wave: Waveform) -> Tensor:
        self.ready = super().prepare(wave)
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.2)
        return self.ready


class NotExported(Sound):
    def prepare(self, wave: Waveform) -> Tensor:
        return super().prepare(wave) * (2.0 if float(wave.samples.sum()) > 100 else 1.0)


class Thaws(Partial):
    """Holds nothing: what is frozen trains all the same."""

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        return (0.0,) * (num_stages - 1) + (1.0,)

    def prepare(self, backbone: Backbone) -> None:
        backbone.hold = lambda frozen: None  # type: ignore[method-assign]


class LeavesThings(None_):
    def prepare(self, backbone: Backbone) -> None:
        backbone.stages()[0].module.register_buffer("left", torch.zeros(1))


class DeadVocoder(Vocoder):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))


class Mark(Watermark):
    """Adds a tone of its own; `flaw` says which promise it breaks."""

    flaw = ""

    def embed(self, wave: Waveform) -> Waveform:
        time_s = torch.arange(wave.samples.shape[1], device=wave.samples.device) / wave.sample_rate_hz
        gain = {"quiet": 0.3, "detect": 0.0}.get(self.flaw, 0.01)
        made = wave.samples + gain * torch.sin(2 * torch.pi * 1000 * time_s)
        if self.flaw == "repeats":
            made = made + 0.001 * torch.rand(made.shape)
        return Waveform.of(made[:, :-1] if self.flaw == "shapes" else made, wave.sample_rate_hz)

    def detect(self, wave: Waveform) -> float:
        time_s = torch.arange(wave.samples.shape[1]) / wave.sample_rate_hz
        angle = 2 * torch.pi * 1000 * time_s
        level = torch.stack([(wave.samples * turn).mean() for turn in (angle.sin(), angle.cos())])
        return float((level[0] * 2 > 0.005) & (level[1].abs() * 2 < 0.005))


MARKS = {flaw: type(f"Mark_{flaw}", (Mark,), {"flaw": flaw}) for flaw in ("shapes", "repeats", "quiet", "detect")}


class Shifts(KNN):
    """Reads the padding of its content."""

    def convert(self, source: Any, voice: Any) -> Frames:
        made = super().convert(source, voice)
        return made.with_values(made.values + made.values.shape[1] / 100)


class NoFigures(others.Labeller):
    def prediction_figures(self, predictions: Any) -> dict[str, float]:
        return {}


BROKEN: list[tuple[str, str, Any]] = [
    ("backbone", "builds", lambda: 1 / 0),
    ("backbone", "no_network", Contacts),
    ("backbone", "shapes", Nan),
    ("backbone", "num_frames", HalfRate),
    ("backbone", "batch", backbones.PadsNothing),
    ("backbone", "padding", HearsPadding),
    ("backbone", "stages", backbones.Homeless),
    ("backbone", "prefix", backbones.NotComposed),
    ("backbone", "frozen", Drifts),
    ("backbone", "gradients", backbones.Cut),
    ("backbone", "same_seed", Restless),
    ("backbone", "save_load", Forgets),
    ("backbone", "outline", Heavy),
    ("backbone", "bfloat16", Bfloat16Overflows),
    ("backbone", "float64", Float64Differs),
    ("backbone", "devices", StaysBehind),
    ("backbone", "threads", KeepsState),
    ("backbone", "export", NotExported),
    ("freezing", "multipliers", others.Fickle),
    ("freezing", "frozen", Thaws),
    ("freezing", "finish", LeavesThings),
    ("head", "shapes", others.Long),
    ("head", "padding", others.ReadsPadding),
    ("head", "gradients", others.Idle),
    ("head", "predicts", NoFigures),
    ("head", "grow", others.Forgets),
    ("head", "shapes", others.Short),
    ("head", "padding", Shifts),
    ("head", "shapes", others.Unsure),
    ("head", "padding", others.WritesPadding),
    ("head", "texts", others.WritesMore),
    ("head", "texts", others.TakesAll),
    ("head", "gradients", others.IdleWriter),
    ("head", "shapes", others.Narrow),
    ("head", "padding", others.LabelsPadding),
    ("head", "gradients", others.IdleLabeller),
    ("head", "relabel", others.Relearns),
    ("vocoder", "shapes", others.Slow),
    ("vocoder", "batch", others.Whole),
    ("vocoder", "follow", others.Forgetful),
    ("vocoder", "gradients", DeadVocoder),
    ("pitch", "frames", figures.Slow),
    ("pitch", "bounds", figures.Unvoiced),
    ("pitch", "silence", figures.Noisy),
    ("pitch", "tones", figures.Octave),
    ("metric", "columns", figures.OddName),
    ("metric", "figures", figures.Forgetful),
    ("metric", "partial", figures.NeedsSource),
    ("metric", "empty", figures.Dividing),
    *(("watermark", flaw, made) for flaw, made in MARKS.items()),
]


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of broken parts, for factories to be found in."""
    module = ModuleType("broken_parts")
    monkeypatch.setitem(sys.modules, "broken_parts", module)
    return module


def found(kind: Any, part: Any, module: ModuleType, **more: Any) -> dict[str, str]:
    """What is wrong by check."""
    module.part = part  # type: ignore[attr-defined]
    entry = Entry("fake/part", kind, "broken_parts:part", "s", "MIT", source="here", **more)
    return {result.name: result.detail for result in conformance(entry) if result.outcome == "failed"}


@pytest.mark.parametrize(
    ("kind", "check", "part"), BROKEN, ids=[f"{kind}-{check}-{n}" for n, (kind, check, _) in enumerate(BROKEN)]
)
def test_a_broken_part_is_found_by_its_check(kind: Any, check: str, part: Any, module: ModuleType) -> None:
    faults = found(kind, part, module, exports=check == "export")
    assert check in faults
    assert faults[check].startswith(f"{kind} 'fake/part', {check}: ")


@pytest.mark.parametrize("part", [Sound, Vocoder, None_, Mark, others.Writer, others.Labeller])
def test_the_sound_parts_that_they_are_made_of_pass(part: Any, module: ModuleType) -> None:
    kind = {Sound: "backbone", Vocoder: "vocoder", None_: "freezing", Mark: "watermark"}.get(part, "head")
    assert found(kind, part, module, exports=part is Sound) == {}


def test_every_named_check_has_a_broken_part() -> None:
    for kind, names in _OF_KINDS.items():
        own = {check for other, check, _ in BROKEN if other == kind} | set(_MODULES)
        assert own >= set(names), kind
    assert {check for kind, check, _ in BROKEN if kind == "backbone"} >= {
        *_BUILDING,
        *_MODULES,
        "export",
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"source": ""}, "`source` must say where the code comes from"),
        ({"licence": "unknown"}, "`licence` must be the SPDX identifier of the code's license, got 'unknown'"),
        ({"licence": "do what you like"}, "`licence` must be the SPDX identifier"),
        ({"weights": (Weights("a.b", "here"),)}, "a name of weights must have no dot, got 'a.b'"),
        ({"weights": (Weights("a", ""),)}, "weights 'a' must have a `source`"),
        ({"weights": (Weights("a", "here", sha256="xyz"),)}, "must be 8 to 64 lowercase hex digits, got 'xyz'"),
        ({"weights": (Weights("a", "here", revision="main"),)}, "must be a commit of 40 hex digits, got 'main'"),
    ],
)
def test_an_entry_without_licence_or_source(more: dict[str, Any], said: str) -> None:
    values = {"licence": "MIT", "source": "here"} | more
    entry = Entry("fake/none", "freezing", "vczoo.modules.freezing.stages:None_", "s", **values)
    results = {result.name: result for result in conformance(entry)}
    assert results["about"].outcome == "failed"
    assert said in results["about"].detail
    assert results["frozen"].outcome == "passed"


def test_a_part_that_lacks_an_option_is_skipped_and_says_so(module: ModuleType) -> None:
    def part(model: str) -> Any:
        raise AssertionError

    module.part = part  # type: ignore[attr-defined]
    results = conformance(Entry("fake/part", "backbone", "broken_parts:part", "s", "MIT", source="here"))
    assert [(result.name, result.outcome) for result in results] == [
        ("about", "passed"),
        ("light", "skipped"),
        ("builds", "skipped"),
    ]
    assert "without model" in results[-1].detail
