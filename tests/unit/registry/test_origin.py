"""Origins of weights from the Hub's cache, URLs and local paths, and their checksums."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from safetensors.torch import save_file

import vczoo
from vczoo.errors import WeightsError
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.registry.entry import Weights
from vczoo.registry.origin import Origin

COMMIT, OTHER = "0123456789" * 4, "f" * 40
HUB = Weights("base", "owner/name", "MIT")


def cached(folder: Path, content: bytes, blob: str = "") -> Path:
    """A file as stored in the Hub's cache: a link in the snapshot of a commit to a blob named by the Hub's checksum."""
    repository = folder / "models--owner--name"
    path = repository / "snapshots" / COMMIT / "model.safetensors"
    blob_path = repository / "blobs" / (blob or hashlib.sha256(content).hexdigest())
    for part in (path, blob_path):
        part.parent.mkdir(parents=True, exist_ok=True)
    blob_path.write_bytes(content)
    path.symlink_to(os.path.relpath(blob_path, path.parent))
    return path


def test_weights_of_the_hub_are_pinned_to_the_commit_of_their_snapshot(tmp_path) -> None:
    path = cached(tmp_path, b"tensors")
    origin = Origin.registered(HUB, [path])
    assert (origin.source, origin.licence, origin.revision, origin.local) == ("owner/name", "MIT", COMMIT, False)
    assert origin.files == (path,)
    assert origin.pins == {"weights": f"base@{COMMIT}"}


def test_a_commit_that_was_asked_for_is_known_without_a_snapshot(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    assert Origin.registered(vczoo.Weights("base", "owner/name", revision=OTHER), [path]).revision == OTHER
    unknown = Origin.registered(vczoo.Weights("base", "owner/name", revision="main"), [path])
    assert (unknown.revision, unknown.pins) == ("", {})


def test_weights_of_an_address_are_pinned_by_their_name(tmp_path) -> None:
    address = Weights("IMAGENET1K_V1", "https://example.org/vgg16-397923af.pth", "BSD-3-Clause")
    origin = Origin.registered(address, [tmp_path / COMMIT / "vgg16-397923af.pth"])
    assert (origin.source, origin.revision) == (address.source, "")
    assert origin.pins == {"weights": "IMAGENET1K_V1"}


def test_of_a_path_only_the_name_is_told(tmp_path, monkeypatch) -> None:
    origin = Origin.of_path(tmp_path / "mine" / "a.safetensors")
    assert (origin.source, origin.licence, origin.revision) == ("a.safetensors", "unknown", "")
    assert origin.local
    assert origin.pins == {}
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    files = (Path("model.safetensors"),)
    for path in (".", "../model/", str(tmp_path / "model")):
        assert (Origin.of_path(path, files).source, Origin.of_path(path, files).files) == ("model", files)
    assert Origin.of_path(cached(tmp_path, b"x")).source == "model.safetensors"  # not the blob that it leads to


def test_checksums_are_of_what_is_on_the_disk(tmp_path) -> None:
    path = cached(tmp_path, b"tensors", blob="0" * 64)
    second = path.with_name("config.json")
    second.write_bytes(b"{}")
    digests = Origin.registered(HUB, [path, second]).sha256
    assert digests == {
        "model.safetensors": hashlib.sha256(b"tensors").hexdigest(),
        "config.json": hashlib.sha256(b"{}").hexdigest(),
    }


def test_checksums_are_computed_once_and_late(tmp_path) -> None:
    path = tmp_path / "a.safetensors"
    origin = Origin.of_path(path)
    with pytest.raises(WeightsError, match=r"a\.safetensors: these weights can no longer be read"):
        _ = origin.sha256
    path.write_bytes(b"first")
    first = origin.sha256
    path.write_bytes(b"second")
    assert origin.sha256 == first == {"a.safetensors": hashlib.sha256(b"first").hexdigest()}


def test_parts_have_no_origin_until_weights_are_loaded(tmp_path) -> None:
    assert Backbone.origin is None
    assert Vocoder.origin is None
    backbone = MelConv(width=8, blocks=1)
    assert backbone.origin is None
    save_file(backbone.trunk.state_dict(), tmp_path / "mine.safetensors")
    loaded = MelConv(width=8, blocks=1, weights=str(tmp_path / "mine.safetensors"))
    assert loaded.origin == Origin.of_path(tmp_path / "mine.safetensors")
    assert loaded.state_dict().keys() == backbone.state_dict().keys()
