"""Features: frozen stages run once, and training on what they gave is training on the recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.audio.pitch import TRACKER, Dio
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Corpus
from vczoo.data.corpus_reader import read_corpus
from vczoo.models.build import build_freezing, checked_recipe
from vczoo.models.model import Model
from vczoo.runs.versions import digest_of_settings, digest_of_sources, library_versions
from vczoo.training import setup as lesson_module
from vczoo.training.features.augment import PLAIN, Version
from vczoo.training.features.cache import Cache
from vczoo.training.features.features import Features
from vczoo.training.setup import features_of, unmasked_note


@pytest.fixture(scope="module")
def corpus(voices_folder: Path) -> Corpus:
    return read_corpus(voices_folder)


@pytest.fixture
def model(small: tuple[str, ...]) -> Model:
    return vczoo.load("demo", small).model.eval()


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
    assert {"vczoo", "torch", "soxr"} <= set(versions)
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


class Other(Dio):
    cache_key = "another tracker"


def test_contours_are_kept_by_their_tracker(tmp_path: Path, model: Model) -> None:
    cache = Cache(tmp_path / "cache")
    first, again = Features(model, {}, cache)._pitch, Features(model, {}, cache)._pitch
    model.tracker = Other()
    other = Features(model, {}, cache)._pitch
    assert first is not None
    assert again is not None
    assert other is not None
    assert TRACKER in first.key, "contours of earlier versions are still found"
    assert first.folder == again.folder != other.folder
