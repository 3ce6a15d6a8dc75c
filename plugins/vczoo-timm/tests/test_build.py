"""The backbones: frames, strides, weights and their errors, on the CPU and offline."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

import vczoo
from vczoo.models.build import checked_recipe
from vczoo_timm import models, weights_of
from vczoo_timm.build import build, build_coarse
from vczoo_timm.weights import whole_name

LITE0 = Path(__file__).parents[4] / "shared/models/timm-tf_efficientnet_lite0.in1k/model.safetensors"
FIRST, SECOND = "a1" * 20, "b2" * 20  # commits
SMALL = ("resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def wave() -> vczoo.Waveform:
    noise = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1)) * 0.1
    return vczoo.Waveform(noise, 16_000, torch.tensor([16_000, 5_000]))


def save(tensors: dict[str, Tensor], folder: Path) -> str:
    path = folder / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


@pytest.mark.parametrize("model", SMALL)
def test_a_recording_gives_the_same_frames_in_a_batch_as_alone(model: str, wave: vczoo.Waveform) -> None:
    backbone = build(model, weights="random").eval()
    with torch.inference_mode():
        together, alone = backbone(wave), backbone(wave[1])
    assert together.lengths.tolist() == [50, 16]
    assert together.channels == backbone.spec.channels
    assert torch.allclose(together[1].values, alone.values, atol=1e-4)


@pytest.mark.parametrize("model", SMALL)
def test_time_stride_changes_no_tensor(model: str) -> None:
    fine, coarse = (build(model, weights="random", time_stride=stride) for stride in (2, 32))
    coarse.load_state_dict(fine.state_dict())
    patch = 16 if model.startswith("vit") else 32
    assert (fine.spec.hop_length, coarse.spec.hop_length) == (320, 160 * patch)


@pytest.mark.parametrize(("time_stride", "hop_length"), [(1, 160), (4, 640), (16, 2560)])
def test_overlapping_patches(time_stride: int, hop_length: int) -> None:
    assert build("vit_tiny_patch16_224", weights="random", time_stride=time_stride).spec.hop_length == hop_length


def test_a_patch_of_14_has_few_time_strides() -> None:
    assert build("vit_small_patch14_dinov2", weights="random", out_stage=1).spec.hop_length == 320
    with pytest.raises(vczoo.ContractError, match="possible values are 1, 2"):
        build("vit_small_patch14_dinov2", weights="random", out_stage=1, time_stride=4)


def test_a_model_that_shrinks_time_by_other_means_is_coarse() -> None:
    model = "swin_s3_tiny_224"
    assert build_coarse(model, weights="random").spec.hop_length == 5120
    with pytest.raises(vczoo.ContractError, match="this network cannot keep to time_stride 2"):
        build(model, weights="random")


def test_a_held_stage_stays_in_eval() -> None:
    backbone = build("resnet10t", weights="random")
    first = backbone.stages()[0].module
    backbone.hold([first])
    backbone.train()
    assert not any(module.training for module in first.modules())
    assert backbone.stages()[1].module.training
    before = [buffer.clone() for buffer in first.buffers()]
    backbone.run(torch.randn(2, 3, 80, 32))
    assert all(torch.equal(a, b) for a, b in zip(before, first.buffers(), strict=True))


@pytest.mark.parametrize("model", SMALL)
def test_random_weights_follow_the_seed(model: str) -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(build(model, weights="random").state_dict())
    first, second, other = states
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.skipif(not LITE0.is_file(), reason="shared/models is not beside this checkout")
def test_a_real_file_loads(wave: vczoo.Waveform) -> None:
    backbone = build("tf_efficientnet_lite0", weights=str(LITE0)).eval()
    tensors = vczoo.read_tensors(LITE0)
    assert torch.equal(backbone.trunk["stem"][0].weight, tensors["conv_stem.weight"])
    assert torch.equal(backbone.trunk["blocks7"][0].conv_pwl.weight, tensors["blocks.6.0.conv_pwl.weight"])
    with torch.inference_mode():
        frames = backbone(wave)
    assert frames.values.shape == (2, 50, 960)
    assert torch.isfinite(frames.values).all()


@pytest.mark.parametrize(
    ("model", "num_classes", "mine", "theirs"),
    [
        ("resnet10t", 7, "trunk.layer1.1.0.conv1.weight", "layer1.0.conv1.weight"),
        ("convnext_atto", 1000, "trunk.stages_1.blocks.0.norm.weight", "stages.1.blocks.0.norm.weight"),
        ("densenet121", 1000, "trunk.features_norm0.1.weight", "features.norm0.weight"),
        ("vit_tiny_patch16_224", 1000, "trunk.embed.model.pos_embed", "pos_embed"),
        ("xcit_nano_12_p16_224", 1000, "trunk.trunk.network.model.blocks.0.norm1.weight", "blocks.0.norm1.weight"),
    ],
)
def test_a_file_of_the_whole_model_loads(tmp_path: Path, model: str, num_classes: int, mine: str, theirs: str) -> None:
    tensors = timm.create_model(model, num_classes=num_classes).state_dict()
    backbone = build(model, weights=save(tensors, tmp_path))
    assert torch.equal(backbone.state_dict()[mine], tensors[theirs])


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("stem_0.norm.weight", "stem.0.norm.weight"),  # not the final norm
        ("stem_conv1.weight", "stem_conv1.weight"),
        ("model.norm.weight", "norm.weight"),
        ("absent.weight", "absent.weight"),
    ],
)
def test_a_tensors_name_in_the_whole_model(name: str, whole: str) -> None:
    assert whole_name(name, {"norm.weight", "stem.0.norm.weight", "stem_conv1.weight"}) == whole


def test_another_releases_names_go_through_timms_filter(tmp_path: Path) -> None:
    model = "swin_s3_tiny_224"
    tensors = dict(timm.create_model(model).state_dict())
    tensors["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)  # a buffer that older releases saved
    backbone = build_coarse(model, weights=save(tensors, tmp_path))
    mine, theirs = "trunk.layers_1.blocks.0.norm1.weight", "layers.1.blocks.0.norm1.weight"
    assert torch.equal(backbone.state_dict()[mine], tensors[theirs])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", r"missing layer2\.0\.conv1\.weight"),
        ("extra", r"not expected layer5\.weight"),
        ("shape", r"layer2\.0\.conv1\.weight has shape \(1, 1\), expected \(128, 64, 3, 3\)"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, fault: str, message: str) -> None:
    tensors = dict(timm.create_model("resnet10t").state_dict())
    if fault == "missing":
        del tensors["layer2.0.conv1.weight"]
    else:
        tensors["layer5.weight" if fault == "extra" else "layer2.0.conv1.weight"] = torch.zeros(1, 1)
    with pytest.raises(vczoo.WeightsError, match=message):
        build("resnet10t", weights=save(tensors, tmp_path))


def test_an_unknown_tag_lists_the_nearest() -> None:
    with pytest.raises(vczoo.WeightsError, match="did you mean 'a1_in1k'"):
        build("resnet18", weights="a1_in1")


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(
        vczoo.WeightsError,
        match=r"a1_in1k \(47 MB, timm/resnet18\.a1_in1k on the Hugging Face Hub\).*HF_HUB_OFFLINE is set[\s\S]*random",
    ):
        build("resnet18")


def test_a_refused_download_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(repository: str, file: str, revision: str | None) -> str:
        raise ConnectionError(f"no route to {repository}, {file}, {revision}")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(vczoo.WeightsError, match=r"no route to timm/resnet18\.a1_in1k, model\.safetensors, None"):
        build("resnet18")
    assert "downloading weights a1_in1k (47 MB) from timm/resnet18.a1_in1k on" in capsys.readouterr().err
    with pytest.raises(vczoo.WeightsError, match=rf"model\.safetensors, {FIRST}"):
        build("resnet18", weights=f"pretrained@{FIRST}")
    assert f"from timm/resnet18.a1_in1k@{FIRST} on" in capsys.readouterr().err


def into_cache(cache: Path, repository: str, commit: str, tensors: dict[str, Tensor]) -> Path:
    """Put weights into a cache of the Hub, as its client does, as what `main` is at."""
    folder = cache / ("models--" + repository.replace("/", "--"))
    path = folder / "snapshots" / commit / "model.safetensors"
    for part in (path, folder / "blobs" / commit, folder / "refs" / "main"):
        part.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "blobs" / commit)
    path.symlink_to(f"../../blobs/{commit}")
    (folder / "refs" / "main").write_text(commit)
    return path


def test_weights_stay_those_of_their_commit_when_main_moves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    name = "trunk.layer1.1.0.conv1.weight"
    states = [timm.create_model("resnet10t").state_dict() for _ in range(2)]
    path = into_cache(tmp_path, "timm/resnet10t.c3_in1k", FIRST, states[0])
    origin = build("resnet10t").origin
    assert origin is not None
    assert origin == vczoo.Origin(
        "timm/resnet10t.c3_in1k", "Apache-2.0", (path,), FIRST, pins={"weights": f"c3_in1k@{FIRST}"}
    )
    assert origin.sha256 == {"model.safetensors": hashlib.sha256(path.read_bytes()).hexdigest()}
    into_cache(tmp_path, "timm/resnet10t.c3_in1k", SECOND, states[1])
    moved, pinned = build("resnet10t"), build("resnet10t", **origin.pins)
    assert moved.origin is not None
    assert moved.origin.revision == SECOND
    assert pinned.origin == origin
    assert torch.equal(moved.state_dict()[name], states[1]["layer1.0.conv1.weight"])
    assert torch.equal(pinned.state_dict()[name], states[0]["layer1.0.conv1.weight"])
    with pytest.raises(vczoo.WeightsError, match=rf"timm/resnet10t\.c3_in1k@{'0' * 40} on .*HF_HUB_OFFLINE is set"):
        build("resnet10t", weights=f"c3_in1k@{'0' * 40}")


@pytest.mark.parametrize("use", ["timm/tf_efficientnet_lite0", "timm/tf_efficientnet_lite0.in1k"])
def test_a_commit_is_checked_with_the_recipe_and_nothing_is_fetched(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vczoo.modules.pretrained.fetch_weights", None)
    backbone = [f"backbone.use={use}", "backbone.out_stage=2", "backbone.time_stride=32"]
    recipe = checked_recipe("efficientnet-speaker", [*backbone, f"backbone.weights=in1k@{FIRST}"])
    assert recipe.backbone.options["weights"] == f"in1k@{FIRST}"
    with pytest.raises(vczoo.RecipeError, match=r"backbone\.weights: .*weights in1k@main: expected a full commit"):
        checked_recipe("efficientnet-speaker", [*backbone, "backbone.weights=in1k@main"])


def test_a_file_tells_its_name_alone(tmp_path: Path) -> None:
    path = save(timm.create_model("resnet10t").state_dict(), tmp_path)
    assert build("resnet10t", weights=path).origin == vczoo.Origin.of_path(path)
    assert build("resnet10t", weights="random").origin is None


def test_a_tag_brings_its_own_normalisation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = "vit_tiny_patch16_224"
    path = save(timm.create_model(model).state_dict(), tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: path)
    tag = weights_of(model)[0].name
    backbone = build(model, weights=tag)
    assert backbone.mean == timm.get_pretrained_cfg(f"{model}.{tag}").mean == (0.5, 0.5, 0.5)


def test_round_trip(tmp_path: Path, wave: vczoo.Waveform) -> None:
    model = "mobilenetv3_small_050"
    first = build(model, weights="random").eval()
    save_file(first.state_dict(), tmp_path / "run.safetensors")
    second = build(model, weights="random").eval()
    second.load_state_dict(vczoo.read_tensors(tmp_path / "run.safetensors"))
    with torch.inference_mode():
        assert torch.equal(first(wave).values, second(wave).values)


@pytest.mark.parametrize("model", ["hrnet_w18_small"])
def test_rows_are_padded_where_a_network_needs_it(model: str) -> None:
    assert models()[model]["row_multiple"] == 32
    backbone = build_coarse(model, weights="random")
    assert backbone.spec.hop_length == 5120
