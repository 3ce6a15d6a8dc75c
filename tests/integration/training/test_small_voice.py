"""A voice of `base` in 150 kB."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import vczoo

RUN_FILES = ("vczoo.yaml", "model.safetensors", "voices.safetensors", "metrics.json")
LARGEST = 150_000  # bytes
SMALL = ("base-film", "base-bitfit", "base-lora", "base-dora", "base-ia3", "base-adapters")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SMALL)
def test_a_tuned_voice_is_small(recipe: str, tmp_path: Path, voices_folder: Path) -> None:
    shutil.copytree(voices_folder / "alice", tmp_path / "data" / "alice")
    converter = vczoo.finetune(recipe, tmp_path / "data", tmp_path / "run", ["training.epochs=1"], progress=False)
    assert sum((tmp_path / "run" / name).stat().st_size for name in RUN_FILES) <= LARGEST
    source = voices_folder / "bob" / "0.wav"
    base = vczoo.load("base")
    base.add_voice(str(tmp_path / "run"))
    expected = converter.convert(source, "alice").samples
    assert torch.equal(base.convert(source, "alice").samples, expected)
    assert torch.equal(vczoo.load(tmp_path / "run").convert(source, "alice").samples, expected)
