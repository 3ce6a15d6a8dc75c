"""Options, weights and their errors: offline, with files that the tests write."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchaudio import pipelines
from torchaudio.models import wav2vec2_model, wavlm_model

import vczoo
from vczoo_torchaudio import BUNDLES, weights_of
from vczoo_torchaudio.build import build


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def whole(model: str, layers: int = 2) -> dict[str, Tensor]:
    """Tensors of a published architecture, in torchaudio's naming, with fewer layers for the sake of size."""
    if model == "wavlm":
        return wavlm_model(**pipelines.WAVLM_BASE_PLUS._params | {"encoder_num_layers": layers}).state_dict()
    params = pipelines.WAV2VEC2_ASR_BASE_960H._params | {"encoder_num_layers": layers}
    return wav2vec2_model(**params).state_dict()


def save(tensors: dict[str, Tensor], folder: Path) -> str:
    path = folder / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


def test_layer_6_is_the_default_and_later_layers_are_not_built() -> None:
    with torch.device("meta"):
        backbone = build("wavlm-large", weights="random")
    assert backbone.spec == vczoo.FrameSpec(16_000, 320, 1024)
    assert [stage.name for stage in backbone.stages()] == ["features", "layers1to4", "layers5to6"]


@pytest.mark.parametrize(("model", "normalise"), [("wavlm-large", True), ("wavlm-base-plus", False)])
def test_a_waveform_is_normalised_where_the_model_was_trained_so(model: str, normalise: bool) -> None:
    with torch.device("meta"):
        assert build(model, weights="random", layer=0).normalise is normalise


@pytest.mark.parametrize("layer", [-1, 13, 24])
def test_a_layer_that_the_model_does_not_have(layer: int) -> None:
    with pytest.raises(vczoo.ContractError, match=rf"has 12 transformer layers: layer is 0 .* to 12, got {layer}"):
        build("hubert-base", weights="random", layer=layer)


def test_stages_of_no_layer() -> None:
    with pytest.raises(vczoo.ContractError, match=r"stage_layers.* is 1 or more, got 0"):
        build("hubert-base", weights="random", stage_layers=0)


def test_random_weights_follow_the_seed() -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(build("hubert-base", weights="random", layer=1).state_dict())
    first, second, other = states
    assert all(torch.equal(first[name], second[name]) for name in first)
    name = "trunk.layers1to1.layers.0.attention.k_proj.weight"
    assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("old_names", [False, True])
def test_a_file_of_weights_with_classifier_and_later_layers(tmp_path: Path, old_names: bool) -> None:
    tensors = whole("wav2vec2")
    assert "aux.weight" in tensors
    given = dict(tensors)
    if old_names:
        position = "encoder.transformer.pos_conv_embed.conv."
        for index, letter in enumerate("gv"):
            given[f"{position}weight_{letter}"] = given.pop(f"{position}parametrizations.weight.original{index}")
    backbone = build("wav2vec2-base", weights=save(given, tmp_path), layer=1)
    mine = backbone.state_dict()
    assert torch.equal(
        mine["trunk.layers1to1.layers.0.attention.k_proj.weight"],
        tensors["encoder.transformer.layers.0.attention.k_proj.weight"],
    )
    assert torch.equal(
        mine["trunk.features.position.conv.parametrizations.weight.original1"],
        tensors["encoder.transformer.pos_conv_embed.conv.parametrizations.weight.original1"],
    )
    assert not any(".layers.1." in name for name in mine)
    assert backbone.origin == vczoo.Origin.of_path(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", r"missing encoder\.transformer\.layers\.0\.attention\.k_proj\.weight"),
        ("extra", r"not expected decoder\.weight"),
        ("shape", r"k_proj\.weight has shape \(1, 1\), expected \(768, 768\)"),
        ("too few layers", r"missing encoder\.transformer\.layers\.2\."),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, fault: str, message: str) -> None:
    tensors = whole("wav2vec2")
    name = "encoder.transformer.layers.0.attention.k_proj.weight"
    if fault == "missing":
        del tensors[name]
    elif fault != "too few layers":
        tensors["decoder.weight" if fault == "extra" else name] = torch.zeros(1, 1)
    with pytest.raises(vczoo.WeightsError, match=message):
        build("wav2vec2-base", weights=save(tensors, tmp_path), layer=3 if fault == "too few layers" else 1)


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(vczoo.WeightsError, match="did you mean 'HUBERT_ASR_LARGE'"):
        build("hubert-large", weights="HUBERT_ASR_LARG")


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(vczoo.WeightsError, match=r"WAVLM_LARGE \(1262 MB.*HF_HUB_OFFLINE is set[\s\S]*random"):
        build("wavlm-large")


def test_a_refused_download_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(vczoo.WeightsError, match="no route to host"):
        build("hubert-base")
    assert "downloading weights HUBERT_BASE (377 MB) from https://" in capsys.readouterr().err


def test_the_checksum_goes_with_the_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[object, ...]] = []

    def download(source: str, path: str, hash_prefix: str | None) -> None:
        asked.append((source, hash_prefix))
        raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "0")')

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for model in ("wavlm-base-plus", "hubert-base"):
        with pytest.raises(vczoo.WeightsError, match="invalid hash value"):
            build(model)
    server = "https://download.pytorch.org/torchaudio/models/"
    assert asked == [
        (server + "wavlm_base_plus.pth", "136a3e720c04f2c77bf7a4dc6a3868b14d5a2c145a988114b733cb1a8428be98"),
        (server + "hubert_fairseq_base_ls960.pth", None),
    ]


def test_the_readme_names_the_weights_that_have_a_checksum() -> None:
    checked = {weights.name for model in BUNDLES for weights in weights_of(model) if weights.sha256}
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (listed,) = re.findall(r"several public projects record:\n(.+?)\. The other (\d+)", readme, re.DOTALL)
    count = sum(len(weights_of(model)) for model in BUNDLES)
    assert (set(re.findall(r"`(\w+)`", listed[0])), int(listed[1])) == (checked, count - len(checked))


def cache(folder: Path, name: str) -> Path:
    path = folder / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    return path


def test_cached_weights_load_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    tensors = whole("wavlm")
    path = cache(tmp_path, "wavlm_base.pth")
    torch.save(tensors, path)
    backbone = build("wavlm-base", layer=2)
    name = "attention.rel_attn_embed.weight"
    assert torch.equal(
        backbone.state_dict()[f"trunk.layers1to2.layers.0.{name}"], tensors[f"encoder.transformer.layers.0.{name}"]
    )
    assert capsys.readouterr().err == ""
    origin = backbone.origin
    assert origin is not None
    assert origin.source == "https://download.pytorch.org/torchaudio/models/wavlm_base.pth"
    assert (origin.files, origin.revision, origin.local) == ((path,), "", False)
    assert origin.licence == weights_of("wavlm-base")[0].licence != "unknown"
    assert origin.pins == {"weights": "WAVLM_BASE"}
    assert origin.sha256 == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_cached_file_with_another_checksum_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = cache(tmp_path, "wavlm_base_plus.pth")
    torch.save({"other": torch.zeros(1)}, path)
    with pytest.raises(vczoo.WeightsError, match=r"SHA-256 is [0-9a-f]{64}, expected 136a3e72.*Delete it"):
        build("wavlm-base-plus", layer=1)


class Trap:
    """Unpickled by a careless reader, this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_runs_code_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.save({"trap": Trap(tmp_path / "sprung")}, cache(tmp_path, "hubert_fairseq_base_ls960.pth"))
    with pytest.raises(vczoo.WeightsError, match="holds only tensors"):
        build("hubert-base", layer=1)
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_file_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache(tmp_path, "hubert_fairseq_base_ls960.pth").write_bytes(b"<html>")
    with pytest.raises(vczoo.WeightsError, match="holds only tensors"):
        build("hubert-base", layer=1)
