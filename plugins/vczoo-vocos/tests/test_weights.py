"""Weights from files, folders and the Hub's cache, and what is refused; offline, with files that the tests write."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import vczoo
from vczoo_vocos import MEL_24KHZ, build
from vczoo_vocos.build import build_published, build_small


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def published() -> dict[str, Tensor]:
    """Tensors as the published file has them: with windows and filters, which nobody needs."""
    tensors = build_published(weights="random").state_dict()
    return tensors | {
        "feature_extractor.mel_spec.spectrogram.window": torch.hann_window(1024),
        "feature_extractor.mel_spec.mel_scale.fb": torch.zeros(513, 100),
        "head.istft.window": torch.hann_window(1024),
    }


def pin(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Take this file for the published one."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    registered = vczoo.Weights("mel-24khz", MEL_24KHZ.source, "MIT", 1, digest, MEL_24KHZ.revision)
    monkeypatch.setattr(build, "MEL_24KHZ", registered)


def same(vocoder: Any, tensors: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, tensors[name]) for name, tensor in vocoder.state_dict().items())


@pytest.mark.parametrize("folder", [False, True])
def test_a_safetensors_file_or_its_folder(tmp_path: Path, published: dict[str, Tensor], folder: bool) -> None:
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in published.items()}, path)
    given = tmp_path if folder else path
    vocoder = build_published(weights=str(given))
    assert same(vocoder, published)
    assert vocoder.origin == vczoo.Origin.of_path(given, [path])
    assert build_published(weights="random").origin is None


@pytest.mark.parametrize("folder", [False, True])
def test_a_copy_of_the_published_pickle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, published: dict[str, Tensor], folder: bool
) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(published, path)
    pin(monkeypatch, path)
    given = tmp_path if folder else path
    vocoder = build_published(weights=str(given))
    assert same(vocoder, published)
    assert vocoder.origin == vczoo.Origin.of_path(given, [path], "MIT")


def test_any_other_pickle_is_not_opened(tmp_path: Path, published: dict[str, Tensor]) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(published, path)
    with pytest.raises(vczoo.WeightsError, match=r"SHA-256 is [0-9a-f]{64}, expected 97ec976a.*only from .safetensors"):
        build_published(weights=str(path))


class Trap:
    """Unpickled by a careless reader, this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_runs_no_code_even_if_it_is_the_registered_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"trap": Trap(tmp_path / "sprung")}, path)
    pin(monkeypatch, path)
    with pytest.raises(vczoo.WeightsError, match="holds only tensors"):
        build_published(weights=str(path))
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_for_the_small_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.bin"
    torch.save(build_small(width=8, blocks=1).state_dict(), path)
    with pytest.raises(vczoo.WeightsError, match=r"read only from \.safetensors"):
        build_small(weights=str(path), width=8, blocks=1)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(vczoo.WeightsError, match=r"a folder without model\.safetensors"):
        build_published(weights=str(tmp_path))


def test_a_small_one_comes_back(tmp_path: Path) -> None:
    first = build_small(width=16, blocks=2)
    save_file(first.state_dict(), tmp_path / "small.safetensors")
    second = build_small(width=16, blocks=2, weights=str(tmp_path / "small.safetensors"))
    assert same(second, first.state_dict())
    with pytest.raises(vczoo.WeightsError, match=r"dwconv\.bias has shape \(16,\), expected \(24,\)"):
        build_small(width=24, blocks=2, weights=str(tmp_path / "small.safetensors"))


def test_the_small_one_has_no_pretrained_weights() -> None:
    with pytest.raises(vczoo.WeightsError, match="weights are 'pretrained', expected one of: random, a path"):
        build_small(weights="pretrained")


def test_random_weights_are_drawn_as_vocos_draws_them() -> None:
    vocoder = build_published(weights="random")
    assert float(vocoder.backbone.embed.weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    assert not vocoder.backbone.convnext[3].pwconv1.bias.any()
    assert torch.equal(vocoder.backbone.convnext[0].gamma, torch.full((512,), 1 / 8))


@pytest.fixture
def hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the Hub."""
    look_up = partial(huggingface_hub.try_to_load_from_cache, cache_dir=tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", look_up)
    return tmp_path / "hub"


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, hub_cache: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(vczoo.WeightsError, match=r"mel-24khz \(54 MB, charactr/vocos-mel-24khz.*HF_HUB_OFFLINE is set"):
        build_published()


def test_a_refused_download_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, hub_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def refuse(*names: str, **options: str) -> None:
        asked.append((names, options))
        raise OSError("no route to host")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(vczoo.WeightsError, match="no route to host"):
        build_published()
    assert asked == [((MEL_24KHZ.source, "pytorch_model.bin"), {"revision": MEL_24KHZ.revision})]
    assert "downloading weights mel-24khz (54 MB) from charactr/vocos-mel-24khz" in capsys.readouterr().err


@pytest.mark.parametrize("genuine", [True, False])
def test_the_cache_serves_offline_and_is_checked(
    monkeypatch: pytest.MonkeyPatch, hub_cache: Path, published: dict[str, Tensor], genuine: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = hub_cache / "models--charactr--vocos-mel-24khz" / "snapshots" / MEL_24KHZ.revision
    folder.mkdir(parents=True)
    torch.save(published, folder / "pytorch_model.bin")
    if not genuine:
        with pytest.raises(vczoo.WeightsError, match="is not mel-24khz of charactr/vocos-mel-24khz@0feb3fd"):
            build_published()
        return
    pin(monkeypatch, folder / "pytorch_model.bin")
    vocoder = build_published()
    assert same(vocoder, published)
    assert vocoder.origin == vczoo.Origin(
        MEL_24KHZ.source,
        "MIT",
        (folder / "pytorch_model.bin",),
        MEL_24KHZ.revision,
        pins={"weights": f"mel-24khz@{MEL_24KHZ.revision}"},
    )


@pytest.mark.parametrize("same_file", [True, False])
def test_another_commit_is_read_where_it_holds_the_same_file(
    monkeypatch: pytest.MonkeyPatch, hub_cache: Path, published: dict[str, Tensor], same_file: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    commit = "c3" * 20
    path = hub_cache / "models--charactr--vocos-mel-24khz" / "snapshots" / commit / "pytorch_model.bin"
    path.parent.mkdir(parents=True)
    torch.save(published, path)
    if not same_file:
        with pytest.raises(
            vczoo.WeightsError, match=rf"is not mel-24khz of charactr/vocos-mel-24khz@{commit} .*: its SHA-256"
        ):
            build_published(weights=f"pretrained@{commit}")
        return
    pin(monkeypatch, path)
    vocoder = build_published(weights=f"pretrained@{commit}")
    assert same(vocoder, published)
    assert vocoder.origin is not None
    assert vocoder.origin.revision == commit
    with pytest.raises(vczoo.WeightsError, match=rf"@{MEL_24KHZ.revision} on .*HF_HUB_OFFLINE is set"):
        build_published()
