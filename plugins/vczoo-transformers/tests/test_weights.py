"""Where weights come from: folders, files, shards, the Hub and its cache; and what is said when they cannot be had."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vczoo
from vczoo_transformers import weights_files
from vczoo_transformers.build import build, build_auto
from vczoo_transformers.weights import Checkpoint, load_checkpoint

Small = Callable[[str], tuple[Any, Path]]
PROJECTION = "trunk.features.projection.projection.weight"


@pytest.fixture
def folder(small: Small, tmp_path: Path) -> Path:
    """A copy of a small wav2vec 2.0 that a test may change."""
    return Path(shutil.copytree(small("wav2vec2")[1], tmp_path / "model"))


def change(folder: Path, act: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    act(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_a_folder_is_read(small: Small) -> None:
    model, folder = small("wav2vec2")
    found = build_auto(str(folder)).state_dict()
    assert torch.equal(found[PROJECTION], model.feature_projection.projection.weight)
    assert torch.equal(found["trunk.layer3.layers.0.layer_norm.weight"], model.encoder.layers[2].layer_norm.weight)


@pytest.mark.parametrize("layer", [1, None])
def test_what_stands_beside_the_encoder_is_let_go(folder: Path, layer: int | None) -> None:
    """As in a checkpoint of pretraining: a prefix, a quantiser, heads, and weight norm under its older names."""

    def as_published(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            older = name.replace("parametrizations.weight.original0", "weight_g")
            older = older.replace("parametrizations.weight.original1", "weight_v")
            tensors["wav2vec2." + older] = tensors.pop(name)
        assert any(name.endswith("weight_g") for name in tensors)
        tensors |= {name: torch.zeros(2) for name in ("quantizer.codevectors", "lm_head.weight")}

    wanted = build_auto(str(folder), layer=layer).state_dict()
    change(folder, as_published)
    found = build_auto(str(folder), layer=layer).state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_half_precision_is_read_as_float32(folder: Path) -> None:
    change(folder, lambda tensors: tensors.update({name: tensor.half() for name, tensor in tensors.items()}))
    found = build_auto(str(folder)).state_dict()
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_shards_are_read(folder: Path) -> None:
    wanted = build_auto(str(folder)).state_dict()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {"model-00001-of-00002.safetensors": names[:20], "model-00002-of-00002.safetensors": names[20:]}
    for file, own in files.items():
        save_file({name: tensors[name] for name in own}, folder / file)
    index = {"weight_map": {name: file for file, own in files.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = build_auto(str(folder)).state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(vczoo.WeightsError, match=r"names model-00002-of-00002\.safetensors, which is missing"):
        build_auto(str(folder))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            lambda t: t.pop("encoder.layers.1.layer_norm.bias"),
            r"missing encoder\.layers\.1\.layer_norm\.bias",
        ),
        (lambda t: t.update({"encoder.extra": torch.zeros(1)}), r"not expected encoder\.extra"),
        (lambda t: t.update({"encoder.layer_norm.bias": torch.zeros(3)}), r"has shape \(3,\), expected \(16,\)"),
        (lambda t: t["encoder.layer_norm.bias"].fill_(torch.nan), "NaN or infinity in encoder.layer_norm.bias"),
        (lambda t: t.pop("feature_projection.projection.weight"), "no tensor is called …feature_projection"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    folder: Path, fault: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    change(folder, fault)
    with pytest.raises(vczoo.WeightsError, match=message):
        build_auto(str(folder))


def test_a_damaged_file(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(vczoo.WeightsError, match="not a safetensors file"):
        build_auto(str(folder))


def test_a_folder_without_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(vczoo.VczooError, match=r"config\.json is missing"):
        build_auto(str(folder))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "holds a list"),
        ("{}", "has no model_type"),
        ('{"model_type": "wav2vec3"}', "does not know the model_type 'wav2vec3'"),
        ('{"model_type": "bert"}', "is a bert, which is not an audio encoder .* whisper, wav2vec2-bert, wav2vec2"),
        ('{"model_type": "wav2vec2", "hidden_size": "wide"}', "not a configuration of a wav2vec2"),
    ],
)
def test_a_configuration_that_is_none_of_an_encoder(folder: Path, config: str, message: str) -> None:
    (folder / "config.json").write_text(config)
    with pytest.raises(vczoo.VczooError, match=message):
        build_auto(str(folder))


def test_a_folder_of_pickles_alone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(vczoo.WeightsError, match=r"pytorch_model\.bin may run code .*save_pretrained"):
        build_auto(str(folder))


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(vczoo.WeightsError, match=r"model\.safetensors is missing"):
        build_auto(str(folder))
    assert build_auto(str(folder), weights="random").spec.channels == 16


def test_random_weights_follow_the_seed(folder: Path) -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(build_auto(str(folder), weights="random").state_dict()[PROJECTION])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_listed_entry_refuses_the_folder_of_another_model(folder: Path) -> None:
    with pytest.raises(vczoo.ContractError, match=r"hidden_size is 16, expected 768.* transformers/auto, model: F"):
        build("wav2vec2-base", weights=str(folder))


@pytest.mark.parametrize("weights", ["./absent", "absent/model.safetensors"])
def test_weights_that_are_not_there(weights: str) -> None:
    with pytest.raises(vczoo.WeightsError, match="no such"):
        build("wav2vec2-base", weights=weights)


def test_unknown_weights_list_the_known() -> None:
    with pytest.raises(vczoo.WeightsError, match="expected one of: random"):
        build("wav2vec2-base", weights="huub")
    with pytest.raises(vczoo.WeightsError, match="expected pretrained or random"):
        build_auto("facebook/wav2vec2-base", weights="hub")


@pytest.mark.parametrize("model", ["absent", "./absent", "a/b/c", "a/b@"])
def test_neither_folder_nor_repository(model: str) -> None:
    with pytest.raises(vczoo.VczooError, match=r"neither an existing folder nor .* owner/name\[@revision\]"):
        build_auto(model)


class FakeHub:
    """The calls of huggingface_hub that are made, on a folder as the one repository."""

    def __init__(self, repository: Path, cache: Path) -> None:
        self.repository, self.cache = repository, cache
        self.asked: list[tuple[str, str | None]] = []

    def model_info(self, repository: str, *, revision: str | None, files_metadata: bool) -> Any:
        self.asked.append((repository, revision))
        assert files_metadata
        files = [SimpleNamespace(rfilename=path.name, size=path.stat().st_size) for path in self.repository.iterdir()]
        return SimpleNamespace(siblings=files)

    def snapshot_download(self, repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        blobs = self.cache / "blobs"
        (self.cache / "snapshot").mkdir(parents=True, exist_ok=True)
        blobs.mkdir(exist_ok=True)
        for path in self.repository.iterdir():
            if path.name in allow_patterns:  # as the Hub's cache does: a link to what is named by its checksum
                blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
                shutil.copy(path, blob)
                (self.cache / "snapshot" / path.name).unlink(missing_ok=True)
                (self.cache / "snapshot" / path.name).symlink_to(blob)
        return str(self.cache / "snapshot")

    def try_to_load_from_cache(self, repository: str, name: str, *, revision: str | None) -> str | None:
        path = self.cache / "snapshot" / name
        return str(path) if path.is_file() else None


@pytest.fixture
def fake_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(folder, tmp_path / "cache")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(weights_files, "HfApi", lambda: fake)
    for name in ("snapshot_download", "try_to_load_from_cache"):
        monkeypatch.setattr(weights_files, name, getattr(fake, name))
    return fake


def test_a_repository_is_fetched_once(
    fake_hub: FakeHub, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = build_auto(str(folder)).state_dict()
    (folder / "pytorch_model.bin").write_bytes(b"is not asked for")
    first = build_auto("owner/name@v2").state_dict()
    assert fake_hub.asked == [("owner/name", "v2")]
    assert "downloading weights pretrained (0 MB) from owner/name@v2 on the Hugging Face Hub" in capsys.readouterr().err
    assert not (fake_hub.cache / "snapshot" / "pytorch_model.bin").exists()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = build_auto("owner/name@v2").state_dict()
    assert len(fake_hub.asked) == 1
    assert all(torch.equal(first[name], wanted[name]) and torch.equal(again[name], wanted[name]) for name in wanted)


def test_random_weights_ask_for_the_configuration_alone(fake_hub: FakeHub) -> None:
    assert build_auto("owner/name", weights="random").spec.channels == 16
    assert not (fake_hub.cache / "snapshot" / "model.safetensors").exists()
    build_auto("owner/name")
    assert (fake_hub.cache / "snapshot" / "model.safetensors").exists()


def as_pickle(folder: Path, content: object = None) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors if content is None else content, folder / "pytorch_model.bin")


def test_a_repository_of_a_pickle_alone_is_read_as_tensors_alone(fake_hub: FakeHub, folder: Path) -> None:
    wanted = build_auto(str(folder)).state_dict()
    as_pickle(folder)
    found = build_auto("owner/name").state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


class Code:
    """What a malicious file holds: a call of its own choice."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_does_not_run(fake_hub: FakeHub, folder: Path, tmp_path: Path) -> None:
    as_pickle(folder, {"encoder": Code(tmp_path / "ran")})
    with pytest.raises(vczoo.WeightsError, match="holds only tensors"):
        build_auto("owner/name")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_of_another_checksum_is_not_opened(fake_hub: FakeHub, folder: Path) -> None:
    as_pickle(folder)
    build_auto("owner/name")
    blob = (fake_hub.cache / "snapshot" / "pytorch_model.bin").resolve()
    blob.write_bytes(blob.read_bytes() + b"\0")
    with pytest.raises(vczoo.WeightsError, match=rf"its SHA-256 is [0-9a-f]+, expected {blob.name}"):
        build_auto("owner/name")


def test_a_pickle_without_a_checksum_is_not_opened(
    fake_hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_pickle(folder)
    build_auto("owner/name")
    path = fake_hub.cache / "snapshot" / "pytorch_model.bin"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)  # a file system without links
    said = SimpleNamespace(etag=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(weights_files, "get_hf_file_metadata", lambda _: said)
    assert build_auto("owner/name").spec.channels == 16
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(vczoo.WeightsError, match="its checksum is unknown"):
        build_auto("owner/name")


def test_a_pickle_that_holds_something_else(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"model": {"weight": torch.zeros(1)}}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(vczoo.WeightsError, match="expected a mapping of names to tensors"):
        load_checkpoint(
            torch.nn.Linear(1, 1), Checkpoint("it", vczoo.Origin.of_path(path), (path,), digest), landmark="weight"
        )


def test_a_repository_without_weights(fake_hub: FakeHub, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.h5")
    with pytest.raises(vczoo.WeightsError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        build_auto("owner/name")


def test_offline_says_what_to_do(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(vczoo.WeightsError, match=r"hub \(378 MB, microsoft/wavlm-base .*OFFLINE is set[\s\S]*random"):
        build("wavlm-base")
    with pytest.raises(vczoo.WeightsError, match="HF_HUB_OFFLINE is set"):
        build_auto("owner/name", weights="random")
    assert not fake_hub.asked


def test_a_refused_download_is_one_clear_error(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route")

    monkeypatch.setattr(fake_hub, "model_info", refuse)
    monkeypatch.setattr(weights_files, "snapshot_download", refuse)
    with pytest.raises(vczoo.WeightsError, match=r"cannot be downloaded \(no route\)"):
        build("wavlm-base")
    with pytest.raises(vczoo.WeightsError, match=r"cannot be downloaded \(no route\)"):
        build_auto("owner/name", weights="random")
