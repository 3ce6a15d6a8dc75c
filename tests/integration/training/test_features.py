"""Features: frozen stages run once, and training on what they gave is training on the recordings."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vczoo
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.io.progress import NullProgress
from vczoo.training.features import cache as cache_module
from vczoo.training.features import features as features_module
from vczoo.training.features.activations import run_prefix

STRATEGIES = {
    "full": ["freezing.use=full"],
    "partial": ["freezing.use=partial", "backbone.blocks=2"],
    "gradual": ["freezing.use=gradual", "backbone.blocks=2"],
    "selected": ["freezing.use=selected", "freezing.stages=[block1]", "backbone.blocks=2"],
    "none": ["freezing.use=none"],
    "augmented": ["freezing.use=full", "training.variants=2", "training.spec_augment=0.3"],
    "speeds": ["freezing.use=full", "training.content_speeds=[0.9, 1.0, 1.1]"],
}


class Counter:
    """How many recordings the frozen stages ran over, and to which depth."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recordings: dict[int, int] = {}

        def counted(backbone: Any, waves: Any, depth: int) -> Any:
            self.recordings[depth] = self.recordings.get(depth, 0) + len(waves)
            return run_prefix(backbone, waves, depth)

        monkeypatch.setattr(features_module, "run_prefix", counted)


@pytest.fixture(scope="module")
def corpus(voices_folder: Path) -> Corpus:
    return read_corpus(voices_folder)


def finetuned(out: Path, data: Path, settings: list[str], cache: Path | bool) -> tuple[list[dict[str, Any]], Any]:
    vczoo.finetune("demo", data, out, settings, cache=cache, progress=False)
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return history, load_file(out / "model.safetensors") | load_file(out / "voices.safetensors")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_cached_and_uncached_training_give_the_same_losses_and_weights(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """Bit by bit, where frozen stages hear one recording at a time: a batch rounds otherwise than its items alone."""
    monkeypatch.setattr(features_module, "BATCH_ITEMS", 1)
    settings = [*small, *STRATEGIES[strategy]]
    uncached, weights = finetuned(tmp_path / "uncached", voices_folder, settings, False)
    for run in ("cold", "warm"):
        cached, others = finetuned(tmp_path / run, voices_folder, settings, tmp_path / "cache")
        for one, other in zip(uncached, cached, strict=True):
            assert (other["train"], other["validation"]) == (one["train"], one["validation"])
        assert others.keys() == weights.keys()
        assert [name for name, value in weights.items() if not torch.equal(others[name], value)] == []


@pytest.mark.parametrize("strategy", ["full", "partial"])
def test_batches_of_recordings_change_nothing_but_rounding(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], strategy: str
) -> None:
    settings = [*small, *STRATEGIES[strategy]]
    uncached, _ = finetuned(tmp_path / "uncached", voices_folder, settings, False)
    cached, _ = finetuned(tmp_path / "cached", voices_folder, settings, tmp_path / "cache")
    for one, other in zip(uncached, cached, strict=True):
        for split in ("train", "validation"):
            assert other[split] == pytest.approx(one[split], rel=1e-3, abs=1e-4)


def test_a_frozen_backbone_runs_once_over_each_recording_and_then_no_more(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, corpus: Corpus
) -> None:
    counter = Counter(monkeypatch)
    settings = [*small, *STRATEGIES["full"]]
    finetuned(tmp_path / "cold", voices_folder, settings, tmp_path / "cache")
    assert counter.recordings == {2: len(corpus.utterances)}  # both stages, over all splits
    finetuned(tmp_path / "warm", voices_folder, settings, tmp_path / "cache")
    assert counter.recordings == {2: len(corpus.utterances)}


def test_gradual_freezing_moves_to_the_deepest_stage_that_is_still_frozen(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, corpus: Corpus
) -> None:
    counter = Counter(monkeypatch)
    finetuned(tmp_path / "run", voices_folder, [*small, *STRATEGIES["gradual"]], tmp_path / "cache")
    trained_on = len(corpus.utterances) - len(corpus.split("test"))
    assert counter.recordings == {3: trained_on, 2: trained_on, 1: len(corpus.utterances)}


def test_only_the_stages_before_the_first_selected_one_are_cached(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, corpus: Corpus
) -> None:
    counter = Counter(monkeypatch)
    settings = [*small, *STRATEGIES["selected"], "freezing.parameters=['*.bias']"]
    run = vczoo.finetune("demo", voices_folder, tmp_path / "run", settings, cache=tmp_path / "cache", progress=False)
    assert counter.recordings == {1: len(corpus.utterances)}  # not block2, although it is frozen
    block = run.model.backbone.stages()[1].module
    biases = [parameter for name, parameter in block.named_parameters() if name.endswith(".bias")]
    trained = sum(parameter.numel() for parameter in (*run.model.heads.parameters(), *biases))
    assert run.metrics["trainable_parameters"] == trained


def test_another_head_shares_what_the_backbone_heard_and_another_backbone_does_not(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*small, *STRATEGIES["full"]]
    finetuned(tmp_path / "first", voices_folder, settings, tmp_path / "cache")
    counter = Counter(monkeypatch)
    finetuned(tmp_path / "other head", voices_folder, [*settings, "heads.voice.width=8"], tmp_path / "cache")
    assert counter.recordings == {}
    finetuned(tmp_path / "other mel", voices_folder, [*settings, "backbone.num_mels=40"], tmp_path / "cache")
    assert counter.recordings != {}


def test_a_full_cache_is_said_and_training_goes_on(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("VCZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VCZOO_CACHE_GB", "0.00001")
    converter = vczoo.finetune("demo", voices_folder, tmp_path / "run", [*small, "freezing.use=full"])
    assert converter.metrics["epochs"] == 3
    assert "the cache is full" in capfd.readouterr().err


def test_with_a_full_cache_recordings_are_heard_no_more_often_than_without_one(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "SHARD_BYTES", 10_000)
    settings, heard = [*small, "freezing.use=full"], []
    for cache in (False, tmp_path / "cache"):
        counter = Counter(monkeypatch)
        monkeypatch.setenv("VCZOO_CACHE_GB", "0.00002")
        finetuned(tmp_path / str(len(heard)), voices_folder, settings, cache)
        heard.append(counter.recordings[2])
    assert 0 < heard[1] < heard[0]


def test_ctrl_c_while_the_frozen_stages_run_keeps_what_they_gave(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Press(NullProgress):
        def hearing(self, done: int, total: int) -> None:
            if 0 < done < total:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(features_module, "BATCH_ITEMS", 2)
    settings = [*small, "freezing.use=full"]
    with monkeypatch.context() as patch:
        patch.setattr("vczoo.training.finetune.NullProgress", Press)
        with pytest.raises(KeyboardInterrupt):
            vczoo.finetune("demo", voices_folder, tmp_path / "run", settings, cache=tmp_path / "cache", progress=False)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    counter = Counter(monkeypatch)
    vczoo.finetune(
        "demo", voices_folder, tmp_path / "run", settings, cache=tmp_path / "cache", progress=False, resume=True
    )
    assert counter.recordings == {2: 18 - 2}  # two of three times six were kept
