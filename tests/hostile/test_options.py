"""A recipe that names registered parts with hostile options: it is built in bounded memory, or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vczoo
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError, RecipeError
from vczoo.io.text import nearest
from vczoo.models.build import check
from vczoo.models.meta_init import init_on_meta
from vczoo.models.part_options import CheckedPart
from vczoo.models.portability import foreign_faults
from vczoo.models.recipe import Recipe
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.heads.speaker import SpeakerClassifier
from vczoo.modules.nn.convnext import ConvDecoder
from vczoo.modules.vocoders.griffin_lim import GriffinLim
from vczoo.registry.entry import Entry

FRAMES = FrameSpec(16000, 320, 8)


def test_no_option_of_any_part_opens_a_file_or_a_socket_or_takes_all_memory(tmp_path: Path) -> None:
    """Every part of the core and of each installed plugin, a dozen families of timm's; one case after the other."""
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile_options", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(vczoo.__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["faults"] == []
    assert found["count"] > 1500


def decoder(**sizes: int) -> ConvDecoder:
    sizes = {"channels": 4, "embedding_width": 0, "width": 4, "blocks": 1, "fine_blocks": 1} | sizes
    return ConvDecoder(frames=FRAMES, acoustic=MelSpec(), **sizes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MelSpec(num_mels=513), "num_mels must be at most 512, got 513"),
        (lambda: MelSpec(fft_length=16_385), "fft_length must be at most 16384"),
        (lambda: MelSpec(sample_rate_hz=10**6), "sample_rate_hz must be at most 768000"),
        (lambda: MelSpec(hop_length=3), r"makes 5333 frames per second \(expected 1 to 4000\)"),
        (lambda: FrameSpec(16000, 16001, 1), "makes 0.9999 frames per second"),
        (lambda: FrameSpec(16000, 320, 2**20 + 1), "channels must be at most 1048576"),
        (lambda: GriffinLim(iterations=10_001), "iterations must be 1 to 10000"),
        (lambda: MelConv(blocks=257), "blocks must be at most 256"),
        (lambda: decoder(blocks=257), "blocks and fine_blocks must be at most 256, got 257 and 1"),
        (lambda: decoder(fine_blocks=257), "blocks and fine_blocks must be at most 256, got 1 and 257"),
        (
            lambda: SpeakerClassifier(frames=FRAMES, num_speakers=2, hidden=[1] * 65),
            "hidden must have at most 64 widths",
        ),
    ],
)
def test_ranges(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(10**12, 10**12), "a tensor of impossible size"),
        (lambda: nn.Linear(2**63, 1), "a tensor of impossible size"),
        (lambda: torch.zeros(10**30), "a tensor of impossible size"),
        (lambda: torch.zeros(2**26 + 1), "constants of 67108865 values, but at most 67108864"),
        (lambda: [nn.BatchNorm1d(3 * 10**7) for _ in range(2)], "constants of 900000"),
    ],
)
def test_what_an_outline_refuses(make: Callable[[], object], message: str) -> None:
    """BatchNorm's statistics are real: two of thirty million values are made, the third is one too many."""
    with init_on_meta(), pytest.raises(ContractError, match=message):
        make()


def recipe(**options: Any) -> Recipe:
    parts = {"freezing": {"use": "none"}, "heads": {"speaker": {"use": "speaker-classifier"}}}
    return Recipe.parse({"name": "x", "summary": "x", "backbone": {"use": "mel-conv", **options}, **parts})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (10**12, "contains the number 1000000000000; the limit for shared runs is 1000000000"),
        (-(10**12), "the number -1000000000000"),
        (float("nan"), "the number nan"),
        ([[1], {"a": float("inf")}], "the number inf"),
        ("x" * 1001, "a text of 1001 characters"),
        ([1] * 1001, "1001 items"),
        ("/etc/passwd", "'/etc/passwd' may be a path"),
        ({"../x": 1}, "'../x' may be a path"),
        ("here", "'here' may be a path"),
    ],
)
def test_options_of_somebody_elses(value: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin may take a text for a folder where there is one of the name."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    (fault,) = foreign_faults(recipe(model=value))
    assert fault.startswith("backbone.model: ")
    assert message in fault


@pytest.mark.parametrize("value", [10**9, -1, 0.5, True, None, "x" * 1000, "there", "a/b@" + "0" * 40, [1] * 1000])
def test_options_that_are_in_order(value: Any) -> None:
    assert foreign_faults(recipe(model=value)) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("a\nb"), MemoryError(), OverflowError("a"), KeyError("a"), TypeError("a")]
)
def test_what_a_factory_raises_names_the_part(error: Exception) -> None:
    def factory() -> None:
        raise error

    entry = Entry("example/x", "backbone", "a:b", "x", "MIT")
    with pytest.raises(ContractError, match=rf"backbone 'example/x' cannot be built .*{type(error).__name__}.*plugin"):
        CheckedPart(entry, factory, {}).make({})


def test_a_path_too_long_to_be_one_is_told_as_any_that_is_not_there() -> None:
    with pytest.raises(RecipeError, match="no such file or folder of weights: /xxx"):
        check(recipe(weights="/" + "x" * 300))


def test_a_name_longer_than_any_is_compared_with_none() -> None:
    """Comparing a megabyte with every name takes minutes."""
    assert nearest("n" * 200, ["n" * 199]) == f"; did you mean {'n' * 199!r}?"
    assert nearest("n" * 201, ["n" * 200]) == "."
