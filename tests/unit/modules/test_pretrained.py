"""Pretrained weights: what the option `weights` means, and how a file is fetched and checked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import vczoo
from vczoo.errors import WeightsError
from vczoo.modules.pretrained import Download, fetch_weights, weights_option
from vczoo.registry.entry import Weights

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = Weights("v1", "https://example.org/files/net-1.pth", "MIT", 47_000_000, SHA256[:8])
HUB = Weights("pretrained", "owner/name", "MIT", 0, SHA256)


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    return tmp_path / "hub" / "checkpoints"


def refuse(*_: object, **__: object) -> None:
    raise OSError("no route to host")


class FolderDownload(Download):
    """Weights that are a folder: none is cached, and a download makes one."""

    def __init__(self, weights: Weights, folder: Path) -> None:
        super().__init__(weights)
        self.folder = folder

    def cached(self) -> Path | None:
        return self.folder if self.folder.is_dir() else None

    def size_bytes(self) -> int:
        return 3_000_000

    def download(self) -> Path:
        self.folder.mkdir()
        return self.folder


@pytest.mark.parametrize("weights", [URL, HUB], ids=["url", "hub"])
@pytest.mark.parametrize("part", ["backbone", "vocoder"])
def test_without_a_network_the_error_says_three_ways_out(
    weights: Weights, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        WeightsError, match=rf"HF_HUB_OFFLINE is set[\s\S]*1\. [\s\S]*2\. .*{part}\.[\s\S]*3\. .*=random"
    ):
        fetch_weights("my/net", weights, part=part)


@pytest.mark.parametrize("weights", [URL, HUB], ids=["url", "hub"])
def test_a_refused_download_is_announced_and_is_one_error(
    weights: Weights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(WeightsError, match=r"cannot be downloaded \(no route to host\)"):
        fetch_weights("my/net", weights)
    size = "47 MB" if weights is URL else "size unknown"
    assert f"my/net: downloading weights {weights.name} ({size}) from {weights.source}" in capsys.readouterr().err


def test_a_url_goes_to_the_cache_of_torch_hub(empty_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(source: str, path: str, hash_prefix: str | None) -> None:
        asked.append((source, path, hash_prefix))
        Path(path).write_bytes(CONTENT)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    path = empty_caches / "net-1.pth"
    assert fetch_weights("my/net", URL) == path
    assert asked == [(URL.source, str(path), URL.sha256)]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_weights("my/net", URL) == path  # from the cache


def test_a_hub_file_is_asked_for_at_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(CONTENT)
    asked = []

    def download(source: str, name: str, *, revision: str | None) -> str:
        asked.append((source, name, revision))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert fetch_weights("my/net", replace(HUB, revision="0" * 40), file="net.bin") == path
    assert asked == [("owner/name", "net.bin", "0" * 40)]


def test_a_cached_file_with_another_checksum_is_refused(empty_caches: Path) -> None:
    empty_caches.mkdir(parents=True)
    (empty_caches / "net-1.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=rf"net-1\.pth is not v1 .* expected {SHA256[:8]}\. Delete it"):
        fetch_weights("my/net", URL)


def test_a_plugins_own_download(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "weights"
    assert fetch_weights("my/net", HUB, download=FolderDownload(HUB, folder)) == folder
    assert "(3 MB)" in capsys.readouterr().err
    assert fetch_weights("my/net", HUB, download=FolderDownload(HUB, folder)) == folder
    assert capsys.readouterr().err == ""


def test_random_weights_have_no_file() -> None:
    assert weights_option("my/net", "random", [URL]) is None


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file({"weight": torch.ones(2, 2), "bias": torch.ones(2)}, path)
    file = weights_option("my/net", str(path), [URL])
    assert file is not None
    assert (file.path, file.where, file.registered) == (path, str(path), None)
    assert (file.origin.source, file.origin.local) == ("mine.safetensors", True)
    module = nn.Linear(2, 2)
    file.load_into(module)
    assert torch.equal(module.weight, torch.ones(2, 2))
    with pytest.raises(WeightsError, match=r"mine\.safetensors does not fit"):
        file.load_into(nn.Linear(2, 3))


def test_registered_weights_are_fetched(empty_caches: Path) -> None:
    empty_caches.mkdir(parents=True)
    path = empty_caches / "net-1.pth"
    path.write_bytes(CONTENT)
    file = weights_option("my/net", "pretrained", [URL])
    assert file is not None
    assert (file.path, file.where, file.registered) == (path, URL.source, URL)
    assert file.origin.pins == {"weights": "v1"}


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(WeightsError, match=r"expected one of: random, a path to a \.safetensors file, pretrained, v1"):
        weights_option("my/net", "v2", [URL])


def test_a_plugin_that_reads_weights_itself_still_can(tmp_path: Path) -> None:
    """As plugins did before `weights_option`, and as those that are installed still do."""

    def build(weights: str) -> tuple[nn.Linear, vczoo.Origin | None]:
        module, origin = nn.Linear(2, 2), None
        if vczoo.is_weights_file(weights):
            vczoo.load_strictly(module, vczoo.read_tensors(weights), where=weights)
            origin = vczoo.Origin.of_path(weights)
        elif weights != "random":
            chosen = vczoo.choose_weights("my/net", weights, (URL,))
            if vczoo.offline():
                raise vczoo.unavailable("my/net", chosen, "HF_HUB_OFFLINE is set", part="backbone")
            vczoo.announce_download("my/net", chosen)
        return module, origin

    path = tmp_path / "mine.safetensors"
    save_file({"weight": torch.ones(2, 2), "bias": torch.ones(2)}, path)
    module, origin = build(str(path))
    assert torch.equal(module.bias, torch.ones(2))
    assert origin == vczoo.Origin.of_path(path)
    assert build("random")[1] is None
    with pytest.raises(WeightsError, match="expected one of"):
        build("v3")
