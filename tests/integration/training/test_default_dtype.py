"""A program whose default dtype in torch is float64 gets the same models, voices and conversions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.waveform import Waveform


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def results(data: Path, out: Path, small: tuple[str, ...]) -> dict[str, torch.Tensor]:
    base = vczoo.load("base")
    source = Waveform.read(data / "bob" / "1.wav")
    base.enroll("ann", [data / "alice" / "0.wav", data / "alice" / "1.wav"])
    tuned = vczoo.finetune("demo", data, out, small, progress=False)
    loaded = vczoo.load(out)
    return {
        "converted": base.convert(source, "ann").samples,
        "streamed": torch.cat(list(base.stream([source.samples[0]], "ann"))),
        "embedded": base.embed(source),
        **{f"voice {name}": value for name, value in base.run.voices["ann"].tensors.items()},
        **{f"weights {name}": value for name, value in tuned.model.state_dict().items()},
        "converted by the tuned": loaded.convert(source, "alice").samples,
    }


def test_the_default_dtype_changes_nothing(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    expected = results(voices_folder, tmp_path / "single", small)
    request.getfixturevalue("double")
    for name, value in results(voices_folder, tmp_path / "double", small).items():
        assert value.dtype == expected[name].dtype, name
        assert torch.equal(value, expected[name]), name
    assert torch.get_default_dtype() == torch.float64
