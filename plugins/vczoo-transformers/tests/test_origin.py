"""Where weights came from, and that a commit stays what it was; offline, out of a cache laid out as the Hub's."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig, UnivNetConfig, UnivNetModel

import vczoo
from vczoo_transformers import VOCODERS, models
from vczoo_transformers.build import build, build_auto
from vczoo_transformers.vocoders import build_hifigan, build_univnet

Small = Callable[[str], tuple[Any, Path]]
FIRST, SECOND = "a1" * 20, "b2" * 20  # commits


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def into_cache(cache: Path, repository: str, commit: str, folder: Path) -> Path:
    """Put a folder into the cache as a commit, and `main` at it; give its snapshot."""
    home = cache / ("models--" + repository.replace("/", "--"))
    snapshot = home / "snapshots" / commit
    for part in (snapshot, home / "blobs", home / "refs"):
        part.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        blob = hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, home / "blobs" / blob)
        (snapshot / path.name).symlink_to(f"../../blobs/{blob}")
    (home / "refs" / "main").write_text(commit)
    return snapshot


def doubled(folder: Path, to: Path) -> Path:
    """A copy of a folder with other tensors of the same names."""
    shutil.copytree(folder, to)
    tensors = load_file(to / "model.safetensors")
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, to / "model.safetensors")
    return to


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    return all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def listed_small(small: Small, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take the small wav2vec 2.0 for the listed one; give its folder."""
    folder = small("wav2vec2")[1]
    values = json.loads((folder / "config.json").read_text())
    kept = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "conv_dim")
    kept += ("num_conv_pos_embeddings", "num_conv_pos_embedding_groups", "layerdrop")
    monkeypatch.setitem(models()["wav2vec2-base"], "config", {name: values[name] for name in kept})
    return folder


def test_a_listed_encoder_stays_that_of_its_commit_when_main_moves(
    small: Small, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = listed_small(small, monkeypatch)
    repository = models()["wav2vec2-base"]["source"]
    snapshot = into_cache(hub_cache, repository, FIRST, folder)
    first = build("wav2vec2-base")
    licence = models()["wav2vec2-base"]["licence"]
    assert first.origin == vczoo.Origin(
        repository, licence, (snapshot / "model.safetensors",), FIRST, pins={"weights": f"hub@{FIRST}"}
    )
    into_cache(hub_cache, repository, SECOND, doubled(folder, tmp_path / "second"))
    moved, pinned = build("wav2vec2-base"), build("wav2vec2-base", **first.origin.pins)
    assert moved.origin is not None
    assert moved.origin.revision == SECOND
    assert pinned.origin == first.origin
    assert equal(pinned, first)
    assert not equal(moved, first)


def test_any_encoder_stays_that_of_its_commit_when_main_moves(small: Small, hub_cache: Path, tmp_path: Path) -> None:
    folder = small("wav2vec2")[1]
    snapshot = into_cache(hub_cache, "owner/name", FIRST, folder)
    first = build_auto("owner/name")
    assert first.origin == vczoo.Origin(
        "owner/name",
        "unknown",
        (snapshot / "model.safetensors", snapshot / "config.json"),  # the network is what its configuration says
        FIRST,
        pins={"model": f"owner/name@{FIRST}"},
    )
    into_cache(hub_cache, "owner/name", SECOND, doubled(folder, tmp_path / "second"))
    moved, pinned = build_auto("owner/name"), build_auto(first.origin.pins["model"])
    assert moved.origin is not None
    assert moved.origin.pins == {"model": f"owner/name@{SECOND}"}
    assert pinned.origin == first.origin
    assert equal(pinned, first)
    assert not equal(moved, first)
    with pytest.raises(vczoo.WeightsError, match=rf"owner/name@{'0' * 40} on .*HF_HUB_OFFLINE is set"):
        build_auto(f"owner/name@{'0' * 40}")


def test_a_pickle_has_the_origin_of_its_repository(small: Small, hub_cache: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small("wav2vec2")[1], tmp_path / "model"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    snapshot = into_cache(hub_cache, "owner/name", FIRST, folder)
    origin = build_auto("owner/name").origin
    assert origin is not None
    assert (origin.revision, origin.files[0]) == (FIRST, snapshot / "pytorch_model.bin")
    assert origin.sha256["pytorch_model.bin"] == origin.files[0].resolve().name


def test_a_folder_and_a_file_tell_their_names_alone(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = listed_small(small, monkeypatch)
    tensors, config = folder / "model.safetensors", folder / "config.json"
    assert build_auto(str(folder)).origin == vczoo.Origin.of_path(folder, [tensors, config])
    assert build("wav2vec2-base", weights=str(folder)).origin == vczoo.Origin.of_path(folder, [tensors])
    assert build("wav2vec2-base", weights=str(tensors)).origin == vczoo.Origin.of_path(tensors)
    assert build_auto(str(folder), weights="random").origin is None
    assert build("wav2vec2-base", weights="random").origin is None


def test_a_vocoder_stays_that_of_its_commit_when_main_moves(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VOCODERS["speecht5-hifigan"]["config"], "upsample_initial_channel", 16)
    SpeechT5HifiGan(SpeechT5HifiGanConfig(upsample_initial_channel=16)).save_pretrained(tmp_path / "first")
    snapshot = into_cache(hub_cache, "microsoft/speecht5_hifigan", FIRST, tmp_path / "first")
    first = build_hifigan()
    assert first.origin == vczoo.Origin(
        "microsoft/speecht5_hifigan",
        "MIT",
        (snapshot / "model.safetensors",),
        FIRST,
        pins={"weights": f"hub@{FIRST}"},
    )
    into_cache(hub_cache, "microsoft/speecht5_hifigan", SECOND, doubled(tmp_path / "first", tmp_path / "second"))
    moved, pinned = build_hifigan(), build_hifigan(**first.origin.pins)
    assert moved.origin is not None
    assert moved.origin.revision == SECOND
    assert pinned.origin == first.origin
    assert equal(pinned, first)
    assert not equal(moved, first)
    assert build_hifigan("random").origin is None
    assert build_hifigan(str(tmp_path / "first")).origin == vczoo.Origin.of_path(
        tmp_path / "first", [tmp_path / "first" / "model.safetensors"]
    )


def test_univnet_tells_its_origin(hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"model_in_channels": 8, "model_hidden_channels": 4, "kernel_predictor_hidden_channels": 8}
    for name, size in sizes.items():
        monkeypatch.setitem(VOCODERS["univnet"]["config"], name, size)
    UnivNetModel(UnivNetConfig(**sizes)).save_pretrained(tmp_path / "model")
    snapshot = into_cache(hub_cache, "dg845/univnet-dev", FIRST, tmp_path / "model")
    wanted = vczoo.Origin(
        "dg845/univnet-dev", "unknown", (snapshot / "model.safetensors",), FIRST, pins={"weights": f"hub@{FIRST}"}
    )
    assert build_univnet().origin == wanted
    assert build_univnet("random").origin is None
