"""The backbones: stages, strides, weights and their errors, on random weights and the CPU."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model

import vczoo
from vczoo_torchvision import build as build_module
from vczoo_torchvision import weights_of
from vczoo_torchvision.build import build, headless

SMALL = ("vgg11", "vgg11_bn", "resnet18", "resnet50")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def wave() -> vczoo.Waveform:
    noise = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1)) * 0.1
    return vczoo.Waveform(noise, 16_000, torch.tensor([16_000, 5_000]))


def pin(monkeypatch: pytest.MonkeyPatch, model: str, path: Path) -> None:
    """Take this file for the published one of its name."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    registered = tuple(
        replace(weights, sha256=digest) if weights.source.endswith(f"/{path.name}") else weights
        for weights in weights_of(model)
    )
    monkeypatch.setattr(build_module, "weights_of", lambda _: registered)


def save(tensors: dict[str, Tensor], folder: Path) -> str:
    path = folder / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


@pytest.mark.parametrize("model", SMALL)
def test_stages_and_spec(model: str) -> None:
    backbone = build(model, weights="random")
    names = [stage.name for stage in backbone.stages()]
    if model.startswith("vgg"):
        assert names == ["block1", "block2", "block3", "block4", "block5"]
    else:
        assert names == ["stem", "layer1", "layer2", "layer3", "layer4"]
    channels = {"vgg11": 512 * 2, "vgg11_bn": 512 * 2, "resnet18": 512 * 3, "resnet50": 2048 * 3}[model]
    assert backbone.spec == vczoo.FrameSpec(16_000, 320, channels)


@pytest.mark.parametrize("model", SMALL)
def test_every_parameter_is_in_one_stage_and_none_is_dead(model: str) -> None:
    backbone = build(model, weights="random")
    counted = [id(parameter) for stage in backbone.stages() for parameter in stage.module.parameters()]
    assert len(counted) == len(set(counted))
    assert set(counted) == {id(parameter) for parameter in backbone.parameters()}
    image = torch.randn(2, 3, 80, 32)
    backbone.run(image).sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize("model", ["vgg11_bn", "resnet18"])
def test_a_prefix_then_the_rest_is_the_whole(model: str) -> None:
    backbone = build(model, weights="random").eval()
    image = torch.randn(1, 3, 80, 64)
    with torch.inference_mode():
        whole = backbone.run(image)
        for stop in range(6):
            before = backbone.run(image, 0, stop)
            kept = before.clone()
            assert torch.equal(backbone.run(before, stop), whole)
            assert torch.equal(before, kept), "a stage writes into its input, which may be a cached file"


@pytest.mark.parametrize("model", ["vgg11", "resnet18"])
def test_the_trunk_is_torchvisions_at_its_own_strides(model: str) -> None:
    network = get_model(model, weights=None).eval()
    backbone = build(model, weights="random", time_stride=32).eval()
    wanted = {n: t for n, t in network.state_dict().items() if not n.startswith(("classifier.", "fc."))}
    assert sum(t.numel() for t in wanted.values()) == sum(t.numel() for t in backbone.state_dict().values())
    for mine, theirs in zip(backbone.trunk.state_dict().values(), wanted.values(), strict=True):
        mine.copy_(theirs)
    image = torch.randn(1, 3, 80, 96)
    with torch.inference_mode():
        if model == "vgg11":
            theirs = network.features(image)
        else:
            theirs = network.maxpool(network.relu(network.bn1(network.conv1(image))))
            theirs = network.layer4(network.layer3(network.layer2(network.layer1(theirs))))
        assert torch.allclose(backbone.run(image), theirs, rtol=1e-4, atol=1e-4)


def test_random_weights_are_drawn_as_torchvision_draws_them() -> None:
    mine, theirs = headless("resnet18"), get_model("resnet18", weights=None)
    for name, tensor in mine.state_dict().items():
        other = theirs.state_dict()[name]
        if "conv" in name or "downsample.0" in name:
            assert float(tensor.std()) == pytest.approx(float(other.std()), rel=0.1)
        else:
            assert torch.equal(tensor, other)
    assert float(mine.layer4[1].conv2.weight.detach().std()) == pytest.approx(math.sqrt(2 / (512 * 9)), rel=0.02)


def test_random_weights_follow_the_seed() -> None:
    torch.manual_seed(3)
    first = build("vgg11", weights="random").state_dict()
    torch.manual_seed(3)
    second = build("vgg11", weights="random").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = build("vgg11", weights="random").state_dict()
    assert not torch.equal(first["trunk.block1.0.weight"], third["trunk.block1.0.weight"])


def test_a_recording_gives_the_same_frames_in_a_batch_as_alone(wave: vczoo.Waveform) -> None:
    backbone = build("resnet18", weights="random").eval()
    with torch.inference_mode():
        together, alone = backbone(wave), backbone(wave[1])
    assert together.lengths.tolist() == [50, 16]
    assert torch.allclose(together[1].values, alone.values, atol=1e-5)


def test_time_stride_changes_no_tensor(wave: vczoo.Waveform) -> None:
    fine, coarse = (build("vgg11", weights="random", time_stride=stride) for stride in (2, 32))
    shapes = [{name: tensor.shape for name, tensor in b.state_dict().items()} for b in (fine, coarse)]
    assert shapes[0] == shapes[1]
    coarse.load_state_dict(fine.state_dict())
    assert (fine.spec.hop_length, coarse.spec.hop_length) == (320, 5120)
    with torch.inference_mode():
        assert fine.eval()(wave).values.shape == (2, 50, fine.spec.channels)
        assert coarse.eval()(wave).values.shape == (2, 4, coarse.spec.channels)


def test_a_held_stage_stays_in_eval() -> None:
    backbone = build("resnet18", weights="random")
    first = backbone.stages()[0].module
    backbone.hold([first])
    backbone.train()
    assert not any(module.training for module in first.modules())
    assert backbone.stages()[1].module.training
    before = [buffer.clone() for buffer in first.buffers()]
    backbone.run(torch.randn(2, 3, 80, 32))
    assert all(torch.equal(a, b) for a, b in zip(before, first.buffers(), strict=True))


def test_out_stage_keeps_the_first_stages() -> None:
    backbone = build("resnet18", weights="random", out_stage=3)
    assert [stage.name for stage in backbone.stages()] == ["stem", "layer1", "layer2"]
    assert backbone.spec.channels == 128 * 10
    assert not any("layer3" in name for name in backbone.state_dict())


@pytest.mark.parametrize("out_stage", [0, 6, -1])
def test_out_stage_out_of_range(out_stage: int) -> None:
    with pytest.raises(vczoo.ContractError, match=f"1 to 5; got {out_stage}"):
        build("resnet18", weights="random", out_stage=out_stage)


def test_too_few_mels() -> None:
    with pytest.raises(vczoo.ContractError, match="cannot read an image of 16 mels"):
        build("vgg11", weights="random", num_mels=16)


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_of_weights(tmp_path: Path, whole: bool) -> None:
    network: nn.Module = get_model("resnet18", weights=None)
    tensors = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if whole or (not name.startswith("fc.") and not name.endswith("num_batches_tracked"))
    }
    backbone = build("resnet18", weights=save(tensors, tmp_path))
    assert torch.equal(backbone.trunk["stem"][0].weight, network.conv1.weight)
    assert torch.equal(backbone.trunk["layer4"][1].conv2.weight, network.layer4[1].conv2.weight)
    assert backbone.origin == vczoo.Origin.of_path(tmp_path / "weights.safetensors")
    assert build("resnet18", weights="random").origin is None


def test_an_address_has_no_commits() -> None:
    with pytest.raises(vczoo.WeightsError, match=r"resnet18-f37072fd\.pth is not a repository on the Hugging Face Hub"):
        build("resnet18", weights=f"pretrained@{'0' * 40}")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", r"missing layer1\.0\.conv1\.weight"),
        ("extra", r"not expected layer5\.weight"),
        ("shape", r"conv1\.weight has shape \(64, 1, 7, 7\), expected \(64, 3, 7, 7\)"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, fault: str, message: str) -> None:
    tensors = dict(get_model("resnet18", weights=None).state_dict())
    if fault == "missing":
        del tensors["layer1.0.conv1.weight"]
    elif fault == "extra":
        tensors["layer5.weight"] = torch.zeros(1)
    else:
        tensors["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    with pytest.raises(vczoo.WeightsError, match=message):
        build("resnet18", weights=save(tensors, tmp_path))


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(vczoo.WeightsError, match="did you mean 'IMAGENET1K_V2' or 'IMAGENET1K_V1'"):
        build("resnet50", weights="IMAGENET1K_V3")


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(vczoo.WeightsError, match=r"IMAGENET1K_V1 \(553 MB.*HF_HUB_OFFLINE is set[\s\S]*random"):
        build("vgg16")


def test_a_refused_download_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(vczoo.WeightsError, match="no route to host"):
        build("resnet18")
    assert "downloading weights IMAGENET1K_V1 (47 MB) from https://" in capsys.readouterr().err


def test_cached_weights_load_offline_with_their_own_normalisation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    trunk = headless("vgg16").state_dict()
    torch.save(
        trunk | {"classifier.0.bias": torch.full((2,), math.nan)}, cache / "vgg16_features-amdegroot-88682ab5.pth"
    )
    pin(monkeypatch, "vgg16", cache / "vgg16_features-amdegroot-88682ab5.pth")
    backbone = build("vgg16", weights="IMAGENET1K_FEATURES")
    assert torch.equal(backbone.trunk["block1"][0].weight, trunk["features.0.weight"])
    assert backbone.mean == pytest.approx((0.48235, 0.45882, 0.40784))
    assert backbone.deviation == pytest.approx((1 / 255,) * 3)
    assert capsys.readouterr().err == ""
    origin = backbone.origin
    assert origin is not None
    path = cache / "vgg16_features-amdegroot-88682ab5.pth"
    assert origin.source == "https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth"
    assert (origin.licence, origin.revision, origin.files, origin.local) == ("unknown", "", (path,), False)
    assert origin.pins == {"weights": "IMAGENET1K_FEATURES"}
    assert origin.sha256 == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("archive", [True, False])
def test_published_files_of_both_kinds_are_read(archive: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """VGG16 and VGG19 are no archives: torch wrote such files before 1.6."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    path.parent.mkdir(parents=True)
    trunk = headless("resnet18").state_dict()
    for values in (1, 2):  # then another file of that name
        tensors = {name: tensor * values for name, tensor in trunk.items()} | {"fc.weight": torch.rand(1000, 512)}
        torch.save(tensors, path, _use_new_zipfile_serialization=archive)
        pin(monkeypatch, "resnet18", path)
        for _ in range(2):  # the second time from the copy
            backbone = build("resnet18")
            assert torch.equal(backbone.trunk["layer4"][1].conv2.weight, values * trunk["layer4.1.conv2.weight"])
    copies = [other for other in path.parent.iterdir() if other != path]
    assert [copy.name for copy in copies] == ([] if archive else ["resnet18-f37072fd-trunk.pth"])
    assert all(copy.stat().st_size < path.stat().st_size - 2_000_000 for copy in copies)


@pytest.mark.parametrize("archive", [True, False])
def test_a_damaged_file_is_one_clear_error(archive: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    path.parent.mkdir(parents=True)
    torch.save(headless("resnet18").state_dict(), path, _use_new_zipfile_serialization=archive)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(vczoo.WeightsError, match=r"is not IMAGENET1K_V1 .* Delete it to download it again"):
        build("resnet18")
    pin(monkeypatch, "resnet18", path)
    with pytest.raises(vczoo.WeightsError, match="not a PyTorch file that holds only tensors"):
        build("resnet18")
    assert list(path.parent.iterdir()) == [path]


def test_round_trip(tmp_path: Path, wave: vczoo.Waveform) -> None:
    first = build("resnet18", weights="random").eval()
    save_file(first.state_dict(), tmp_path / "run.safetensors")
    second = build("resnet18", weights="random").eval()
    second.load_state_dict(vczoo.read_tensors(tmp_path / "run.safetensors"))
    with torch.inference_mode():
        assert torch.equal(first(wave).values, second(wave).values)
