"""LoRA from a recipe to a WAV file: fine-tuned, saved, loaded strictly, converted with; interrupted and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vczoo
from vczoo import Waveform
from vczoo.cli.app import main
from vczoo.io.progress import NullProgress

Small = Callable[[str], tuple[Any, Path]]
RATE = 16000


def utterance(number: int, f0_hz: float) -> Waveform:
    """0.9 s of harmonics whose loudness depends on the number."""
    generator = torch.Generator().manual_seed(number)
    time = torch.arange(round(0.9 * RATE)) / RATE
    gains = torch.rand(12, generator=generator)
    tones = [gain * torch.sin(2 * torch.pi * f0_hz * n * time) for n, gain in enumerate(gains, start=1)]
    return Waveform.of(0.05 * torch.stack(tones).sum(0) + 0.001 * torch.randn(len(time), generator=generator), RATE)


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers of six utterances each."""
    folder = tmp_path_factory.mktemp("voices")
    for name, f0_hz in (("ann", 210.0), ("ben", 110.0)):
        (folder / name).mkdir()
        for number in range(6):
            utterance(number, f0_hz).save(folder / name / f"{number}.wav")
    return folder


@pytest.fixture
def recipe(small: Small, tmp_path: Path) -> Path:
    """A mel decoder over two layers of a small Whisper, LoRA in both."""
    values = {
        "summary": "LoRA",
        "backbone": {"use": "transformers/auto", "model": str(small("whisper")[1]), "layer": 2, "stage_layers": 1},
        "freezing": {"use": "transformers/lora", "rank": 2, "trainable_stages": 2},
        "heads": {
            "speaker": {"use": "speaker-classifier", "hidden": [8]},
            "voice": {"use": "mel-decoder", "width": 8, "blocks": 1, "bottleneck": 4},
        },
        "vocoder": {"use": "griffin-lim", "iterations": 2},
        "training": {
            "epochs": 3,
            "batch_size": 4,
            "crop_seconds": 0.64,
            "learning_rate": 0.01,
            "backbone_rate": 1.0,
            "patience": 3,
        },
    }
    path = tmp_path / "lora.yaml"
    path.write_text(json.dumps(values))  # JSON is YAML
    return path


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_run_holds_the_stages_that_changed_with_the_adapters_merged(
    recipe: Path, voices: Path, small: Small, tmp_path: Path
) -> None:
    made = vczoo.finetune(recipe, voices, tmp_path / "run", progress=False)
    assert made.metrics["best_epoch"] >= 0
    plain = vczoo.load(recipe).model.backbone.state_dict()
    stored = tensors_of(tmp_path / "run")
    assert not any("lora" in name for name in stored)
    own = {name.removeprefix("backbone."): value for name, value in stored.items() if name.startswith("backbone.")}
    stages = {name.partition(".")[0] for name in own}
    assert stages == {"layer1", "layer2"}  # the frozen one is the base's, by its checksum
    changed = set()
    for stage in vczoo.load(recipe).model.backbone.stages():
        for name, before in stage.module.state_dict().items():
            after = own.get(f"{stage.name}.{name}", before)
            if not torch.equal(after, before):
                changed.add(name.rpartition(".")[2])
                assert torch.linalg.matrix_rank(after - before, rtol=1e-3) <= 2
    assert changed == {"weight"}  # neither a bias nor a norm
    assert made.model.backbone.state_dict().keys() == plain.keys()


def test_what_is_loaded_converts_as_what_was_trained(
    recipe: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = vczoo.finetune(recipe, voices, tmp_path / "run", progress=False)
    again = vczoo.load(tmp_path / "run")
    source = utterance(9, 150.0)
    expected = made.convert(source, "ben").samples
    assert torch.equal(again.convert(source, "ben").samples, expected)
    assert float(expected.abs().max()) > 1e-4
    path = source.save(tmp_path / "source.wav")
    words = ["vczoo", "convert", str(tmp_path / "run"), str(path), "--voice", "ben", "--out", str(tmp_path / "out.wav")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    written = Waveform.read(tmp_path / "out.wav").samples
    expected = made.convert(path, "ben").samples
    assert torch.allclose(written, expected.clamp(-1, 1), atol=2e-4)  # 16 bits


def test_a_run_without_its_adapted_stage_is_refused(recipe: Path, voices: Path, tmp_path: Path) -> None:
    vczoo.finetune(recipe, voices, tmp_path / "run", ["training.epochs=1"], progress=False)
    stored = tensors_of(tmp_path / "run")
    lost = next(name for name in stored if name.startswith("backbone.layer2."))
    save_file({name: value for name, value in stored.items() if name != lost}, tmp_path / "run" / "model.safetensors")
    with pytest.raises(vczoo.VczooError, match=r"holds \d+ tensors, but vczoo.yaml says \d+"):
        vczoo.load(tmp_path / "run")


@pytest.mark.parametrize("steps", [2, 4])
def test_what_was_interrupted_is_resumed_with_its_adapters(
    recipe: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    class Crash(NullProgress):
        left = steps

        def step(self, loss: float) -> None:
            self.left -= 1
            if not self.left:
                raise MemoryError("killed")

    vczoo.finetune(recipe, voices, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        patch.setattr("vczoo.training.finetune.NullProgress", Crash)
        with pytest.raises(MemoryError):
            vczoo.finetune(recipe, voices, tmp_path / "cut", progress=False)
    vczoo.finetune(recipe, voices, tmp_path / "cut", resume=True, progress=False)
    whole, cut = tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(cut[name], value) for name, value in whole.items())


def test_a_second_fine_tune_of_a_run_starts_where_the_first_ended(recipe: Path, voices: Path, tmp_path: Path) -> None:
    vczoo.finetune(recipe, voices, tmp_path / "run", ["training.epochs=1"], progress=False)
    still = ["training.epochs=1", "training.learning_rate=1.0e-12"]
    vczoo.finetune(tmp_path / "run", voices, tmp_path / "again", still, progress=False)
    first, second = tensors_of(tmp_path / "run"), tensors_of(tmp_path / "again")
    assert first.keys() == second.keys()
    assert all(torch.allclose(second[name], value, atol=1e-5) for name, value in first.items())
