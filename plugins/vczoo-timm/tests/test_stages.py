"""Stages: run one by one they are timm's own network, they share nothing and leave their input alone."""

from collections.abc import Iterator

import pytest
import timm
import torch
from torch import Tensor, nn

import vczoo
from vczoo_timm import models
from vczoo_timm.build import build
from vczoo_timm.network import create, cut

FAMILIES = {  # model: stages
    "resnet10t": 5,
    "tf_efficientnet_lite0": 8,
    "mobilenetv3_small_050": 7,
    "convnext_atto": 4,
    "regnetx_002": 5,
    "densenet121": 5,
    "mambaout_femto": 4,  # channels last
    "selecsls42": 2,  # several tensors between blocks
    "ghostnet_050": 5,
    "vit_tiny_patch16_224": 5,
    "vit_small_patch16_dinov3": 5,  # rotary embedding, register tokens
    "xcit_nano_12_p16_224": 1,
}
MELS = 96  # a multiple of 32 and of 16, so that nothing is padded and timm's own forward can be compared


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def reference(model: str, image: Tensor) -> tuple[nn.Module, Tensor]:
    """A network and what timm's own code makes of an image."""
    line = models()[model]
    network = create(model, line["staging"], line.get("settings", {})).eval()
    if line["staging"] != "tokens":
        output = network(image)[-1]
        return network, output.permute(0, 3, 1, 2) if model.startswith("mambaout") else output
    patches = network.forward_features(image)[:, network.num_prefix_tokens :]  # type: ignore[operator]
    return network, patches.unflatten(1, (image.shape[2] // 16, -1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("model", FAMILIES)
def test_stage_by_stage_is_timms_own_network(model: str) -> None:
    image = torch.randn(2, 3, MELS, 128)
    with torch.inference_mode():
        network, whole = reference(model, image)
    stages = cut(network, models()[model]["staging"], num_mels=MELS)
    backbone = vczoo.VisionBackbone(stages, time_stride=32, num_mels=MELS).eval()
    assert len(backbone.stages()) == FAMILIES[model]
    with torch.inference_mode():
        for stop in range(len(stages) + 1):
            before = backbone.run(image, 0, stop)
            kept = before.clone()
            assert torch.allclose(backbone.run(before, stop), whole, rtol=1e-4, atol=1e-4)
            assert torch.equal(before, kept), "a stage writes into its input, which may be a cached file"


@pytest.mark.parametrize("model", FAMILIES)
def test_every_parameter_is_in_one_stage(model: str) -> None:
    backbone = build(model, weights="random")
    assert [models()[model]["stages"], FAMILIES[model]] == [len(backbone.stages())] * 2
    counted = [id(parameter) for stage in backbone.stages() for parameter in stage.module.parameters()]
    assert len(counted) == len(set(counted))
    assert set(counted) == {id(parameter) for parameter in backbone.parameters()}
    assert backbone.spec.hop_length == 320


@pytest.mark.parametrize("model", ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224"])
def test_no_parameter_is_dead(model: str) -> None:
    backbone = build(model, weights="random", out_stage=3).eval()
    backbone.run(torch.randn(1, 3, 80, 64)).square().sum().backward()
    assert not [name for name, parameter in backbone.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("model", ["resnet10t", "mambaout_femto", "vit_tiny_patch16_224"])
def test_out_stage_keeps_the_first_stages(model: str) -> None:
    torch.manual_seed(1)
    whole = build(model, weights="random").eval()
    torch.manual_seed(1)
    part = build(model, weights="random", out_stage=2).eval()
    assert [s.name for s in part.stages()] == [s.name for s in whole.stages()][:2]
    image = torch.randn(1, 3, 80, 64)
    with torch.inference_mode():
        mine, theirs = part.run(image), whole.run(image, 0, 2)
    assert mine.ndim == 4
    assert mine.numel() in (theirs.numel(), theirs.numel() - part.spec.channels // mine.shape[2])
    assert sum(p.numel() for p in part.parameters()) < sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize("out_stage", [0, 6])
@pytest.mark.parametrize("model", ["resnet10t", "vit_tiny_patch16_224"])
def test_out_stage_out_of_range(model: str, out_stage: int) -> None:
    with pytest.raises(vczoo.ContractError, match=f"1 to 5; got {out_stage}"):
        build(model, weights="random", out_stage=out_stage)


def test_the_wrapper_names_are_known_to_the_installed_timm() -> None:
    features = timm.create_model("mobilenetv3_small_050", features_only=True)
    assert type(features).__name__ == "MobileNetV3Features"
    assert hasattr(features, "_stage_out_idx")
