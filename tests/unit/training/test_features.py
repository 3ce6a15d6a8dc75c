"""Features: frozen stages run once, and training on what they gave is training on the recordings."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vczoo
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.io.progress import NullProgress
from vczoo.models.build import build_freezing, checked_recipe
from vczoo.models.model import Model
from vczoo.runs.versions import digest_of_settings, digest_of_sources, library_versions
from vczoo.training import feature_cache as cache_module
from vczoo.training import features as features_module
from vczoo.training import setup as lesson_module
from vczoo.training.activations import run_prefix
from vczoo.training.augment import PLAIN, Version
from vczoo.training.feature_cache import Cache
from vczoo.training.features import Features
from vczoo.training.setup import features_of, unmasked_note

STRATEGIES = {
    "full": ["freezing.use=full"],
    "partial": ["freezing.use=partial", "backbone.blocks=2"],
    "gradual": ["freezing.use=gradual", "backbone.blocks=2"],
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


@pytest.fixture
def model(small: tuple[str, ...]) -> Model:
    return vczoo.load("demo", small).model.eval()


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


@pytest.mark.parametrize("change", ["weights", "options", "versions", "dtype", "audio", "version", "rate"])
def test_what_is_kept_is_refused_when_anything_in_its_key_differs(
    tmp_path: Path, corpus: Corpus, model: Model, small: tuple[str, ...], change: str
) -> None:
    utterance = corpus.split("train")[0]
    cache, describe = Cache(tmp_path / "cache"), {"backbone": {"width": 16}, "versions": {"vczoo": "1"}}
    kept = Features(model, describe, cache)
    kept.at(2)
    list(kept.fill([(utterance, PLAIN)]))

    def missing(features: Features, version: Version = PLAIN) -> bool:
        features.at(2)
        return bool(features.missing([utterance], [version]))

    assert not missing(Features(model, describe, Cache(tmp_path / "cache")))
    if change == "weights":
        with torch.no_grad():
            next(model.backbone.stages()[1].module.parameters())[0] += 1e-6
        assert missing(Features(model, describe, cache))
    elif change == "options":
        assert missing(Features(model, {**describe, "backbone": {"width": 17}}, cache))
    elif change == "versions":
        assert missing(Features(model, {**describe, "versions": {"vczoo": "2"}}, cache))
    elif change == "dtype":
        assert missing(Features(model, describe, cache, torch.float16))
    elif change == "version":
        assert missing(kept, Version(variant=1))
        assert missing(kept, Version(speed=1.1))
    elif change == "rate":
        other = vczoo.load("demo", [*small, "vocoder.sample_rate_hz=24000", "vocoder.hop_length=240"]).model
        other.backbone.load_state_dict(model.backbone.state_dict())
        assert missing(Features(other.eval(), describe, cache))
    else:
        path = tmp_path / "other.wav"
        path.write_bytes(utterance.path.read_bytes()[:-2] + b"\x00\x01")
        utterance = replace(utterance, path=path)
        assert missing(Features(model, describe, cache))


def test_sixteen_bits_round_alike_with_and_without_a_cache(tmp_path: Path, corpus: Corpus, model: Model) -> None:
    utterance = corpus.split("train")[0]
    found = []
    for cache in (None, Cache(tmp_path)):
        features = Features(model, {}, cache, torch.float16)
        features.at(1)
        list(features.fill(features.missing([utterance], [PLAIN])))
        (item,) = features.activations([(utterance, PLAIN)])
        assert item.values.dtype == torch.float16
        found.append(item.values)
    assert torch.equal(*found)
    with torch.no_grad():
        model.backbone.stages()[0].module[1].weight.mul_(1e6)  # beyond what 16 bits hold
    features.renew()
    (item,) = features.activations([(utterance, PLAIN)])
    assert item.values.dtype == torch.float32
    assert bool(item.values.isfinite().all())


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
            if done < total:
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


def test_what_trains_stays_in_training_mode_while_frozen_stages_hear(corpus: Corpus, model: Model) -> None:
    """Another thread may be training it."""
    features = Features(model, {})
    features.at(1)
    model.train()
    seen = []
    model.backbone.stages()[1].module.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    frozen, free = (stage.module for stage in model.backbone.stages()[:2])
    frozen.register_forward_pre_hook(lambda module, _: seen.append((module.training, free.training)))
    features.activations([(corpus.split("train")[0], PLAIN)])
    assert seen == [(False, True)]
    assert frozen.training


def test_what_is_kept_has_the_configuration_and_the_sources_in_its_key(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = features_of(checked_recipe("demo"), model, False).describe
    assert describe["backbone"]["settings"] == digest_of_settings({})
    assert describe["versions"]["sources"] == digest_of_sources(["vczoo"])
    (tmp_path / "network").mkdir()
    package = tmp_path / "vczoo_mine"
    package.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = []
    for act in ("gelu", "relu"):
        (tmp_path / "network" / "config.json").write_text(json.dumps({"hidden_act": act}))
        (package / "__init__.py").write_text(f"ACT = {act!r}")
        seen.append((digest_of_settings({"model": str(tmp_path / "network")}), digest_of_sources(["vczoo_mine"])))
    (before, sources), (after, other_sources) = seen
    assert len({before, after, digest_of_settings({})}) == 3
    assert len({sources, other_sources, digest_of_sources([])}) == 3


def test_an_extra_that_is_installed_changes_no_key() -> None:
    """matplotlib and TensorBoard come with extras: another release of them makes nothing that was heard wrong."""
    versions = library_versions([])
    assert {"vczoo", "torch", "torchaudio"} <= set(versions)
    assert not {"matplotlib", "tensorboard", "resemblyzer"} & {name.lower() for name in versions}


def test_speeds_are_for_a_backbone_that_is_wholly_frozen(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...]
) -> None:
    settings = [*small, "training.content_speeds=[0.9, 1.0]", "freezing.use=partial"]
    with pytest.raises(vczoo.ContractError, match=r"content_speeds is \[0\.9, 1\.0\].*wholly frozen; freeze it"):
        vczoo.finetune("demo", voices_folder, tmp_path / "run", settings, progress=False)


def test_a_long_recording_is_heard_in_parts(tmp_path: Path, corpus: Corpus, model: Model) -> None:
    """So that memory does not grow with its length; each part is kept by its place."""
    utterance = max(corpus.utterances, key=lambda one: one.seconds)
    assert utterance.parts(30.0) == [utterance]
    parts = utterance.parts(0.5)
    assert len(parts) == 3
    assert sum(part.seconds for part in parts) == pytest.approx(utterance.seconds)
    wave = Waveform.read(utterance.path, 16000)
    long = tmp_path / "long.wav"
    Waveform.of(wave.samples.repeat(1, 39), 16000).save(long)
    utterance = replace(utterance, path=long, seconds=39 * utterance.seconds)
    features = Features(model, {}, Cache(tmp_path / "cache"))
    features.at(2)
    first, second = utterance.parts(30.0)
    list(features.fill(features.missing([first, second], [PLAIN])))
    counts = [features.wave(part).samples.shape[1] for part in (first, second)]
    assert all(abs(count - first.seconds * 16000) <= 1 for count in counts)
    assert torch.equal(features.wave(second).samples, Waveform.read(long, 16000).samples[:, -counts[1] :])
    one, other = features.activations([(first, PLAIN), (second, PLAIN)])
    assert one.length == other.length < model.backbone.num_frames(round(utterance.seconds * 16000))
    assert not torch.equal(one.values, other.values)


@pytest.mark.parametrize(("strategy", "noted"), [("full", False), ("none", False), ("partial", True)])
def test_masks_that_hide_nothing_are_told(
    model: Model, monkeypatch: pytest.MonkeyPatch, strategy: str, noted: bool
) -> None:
    """As those of a transformer of tokens: its activations cannot be cut once a stage of it has run."""
    find = lesson_module.find_time_axis
    monkeypatch.setattr(lesson_module, "find_time_axis", lambda net, depth: None if depth == 1 else find(net, depth))
    recipe = checked_recipe("demo", [f"freezing.use={strategy}", "training.spec_augment=0.2"])
    note = unmasked_note(model.backbone, build_freezing(recipe), recipe.training)
    assert ("while 1 of 2 stages are frozen" in note) == noted
    assert unmasked_note(model.backbone, build_freezing(recipe), checked_recipe("demo").training) == ""
