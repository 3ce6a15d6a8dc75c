"""Networks that take no memory: parameters on the meta device, and what no weights define real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

import vczoo
from vczoo_timm import models
from vczoo_timm.build import build, build_coarse

LAZY = {torch.empty, torch.rand, torch.randn, torch.normal, torch.Tensor.new_empty}
LAZY |= {torch.empty_like, torch.rand_like, torch.randn_like}
# Between them: BatchNorm, constants as parameters, rotary embeddings, tables computed on a parameter's device,
# and constants beside random values in a constructor.
KINDS = (
    "tf_efficientnet_lite0",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "vit_small_patch16_dinov3",
    "xcit_nano_12_p16_224",
    "swin_s3_tiny_224",
    "swinv2_tiny_window8_256",
    "vit_tiny_r_s16_p8_224",
)


class Outline(TorchFunctionMode):
    """What is empty or random takes no memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in LAZY:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("model", KINDS)
def test_an_outline_is_a_real_network_but_for_its_weights(model: str) -> None:
    make = build_coarse if "time_stride" in models()[model] else build
    with Outline():
        outline = make(model, weights="random").eval()
    real = make(model, weights="random").eval()
    assert outline.spec == real.spec
    assert {parameter.device.type for parameter in outline.parameters()} == {"meta"}
    shapes = [{name: (t.shape, t.dtype) for name, t in part.state_dict().items()} for part in (outline, real)]
    assert shapes[0] == shapes[1]
    weights = real.state_dict()
    buffers = dict(outline.named_buffers())
    assert buffers.keys() == dict(real.named_buffers()).keys()
    for name, buffer in real.named_buffers():
        if name not in weights:
            assert torch.equal(buffers[name], buffer), name
    outline.load_state_dict(weights, assign=True)
    noise = vczoo.Waveform.of(0.1 * torch.randn(1, 8_000), 16_000)
    with torch.inference_mode():
        assert torch.equal(outline(noise).values, real(noise).values)


def test_an_outline_that_cannot_read_the_image_says_so() -> None:
    with Outline(), pytest.raises(vczoo.ContractError, match="this network cannot keep to time_stride 2"):
        build("swin_s3_tiny_224", weights="random")
