"""Fine-tuning of a weighted sum of layers: its weights move, are saved and shown, and the frozen layers are cached."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import vczoo
from tests.conftest import SMALL
from vczoo.cli.description import describe
from vczoo.modules.backbones.layer_mix import LayerMix
from vczoo.training.features.features import Features

pytestmark = pytest.mark.slow

MIXED = (*SMALL, "backbone.layer=mix", "backbone.blocks=2", "training.backbone_rate=10")


def backbone_of(converter: vczoo.Converter) -> LayerMix:
    backbone = converter.model.backbone
    assert isinstance(backbone, LayerMix)
    return backbone


def test_the_weights_train_while_the_layers_are_frozen(
    tmp_path: Path, voices_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    make = Features._make

    def counted(self: Features, batch: object) -> object:
        items = make(self, batch)  # type: ignore[arg-type]
        batches.extend(item.values.shape for item in items)
        return items

    monkeypatch.setattr(Features, "_make", counted)
    overrides = [*MIXED, "freezing={use: partial, trainable_stages: 1}"]
    run = tmp_path / "run"
    converter = vczoo.finetune("demo", voices_folder, run, overrides, cache=tmp_path / "cache", progress=False)
    scores = backbone_of(converter).mix.scores
    assert float(scores.detach().abs().max()) > 0.01
    # Each recording ran once through the frozen stages, and all three layers of 16 channels are kept.
    assert len(batches) == 18
    assert {shape[1] for shape in batches} == {3 * 16}
    loaded = vczoo.load(run)
    assert torch.equal(backbone_of(loaded).mix.scores, scores)
    recording = voices_folder / "bob" / "0.wav"
    assert torch.equal(loaded.convert(recording, "alice").samples, converter.convert(recording, "alice").samples)
    shares = converter.metrics["layer_mix"]
    assert list(shares) == ["stem", "block1", "block2"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert f"layer_mix:\n    stem: {shares['stem']}" in describe(run)


def test_a_frozen_mix_stays_the_mean(tmp_path: Path, voices_folder: Path) -> None:
    overrides = [*MIXED, "freezing={use: full}", "training.epochs=1"]
    converter = vczoo.finetune("demo", voices_folder, tmp_path / "run", overrides, cache=False, progress=False)
    assert backbone_of(converter).shares() == pytest.approx({"stem": 1 / 3, "block1": 1 / 3, "block2": 1 / 3})


def test_two_layers_are_tuned_after_the_weights(tmp_path: Path, voices_folder: Path) -> None:
    start = vczoo.load("demo", MIXED)
    start.save(tmp_path / "start")
    overrides = ["freezing={use: characteristic-specific, probe_epochs: 1}", "training.epochs=2", "training.keep=last"]
    converter = vczoo.finetune(
        tmp_path / "start", voices_folder, tmp_path / "run", overrides, rehearse=False, cache=False, progress=False
    )
    shares = backbone_of(converter).shares()
    chosen = {max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])}
    before = {stage.name: stage.module.state_dict() for stage in start.model.backbone.stages()}
    moved = {
        stage.name
        for stage in converter.model.backbone.stages()
        if any(not torch.equal(value, before[stage.name][name]) for name, value in stage.module.state_dict().items())
    }
    assert moved == {*chosen, "mix"}
