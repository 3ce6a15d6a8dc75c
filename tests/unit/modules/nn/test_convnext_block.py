"""`ConvNeXtBlock`: the same numbers and tensor names as the blocks that it replaced, bit by bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vczoo.modules.nn.convnext_block import ConvNeXtBlock, LayerNames

WIDTH = 6


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class Paper(ConvNeXtBlock):
    names = LayerNames("dwconv", "norm", "pwconv1", "pwconv2", "gamma")


def test_a_plain_block_with_channels_first() -> None:
    block, hidden = ConvNeXtBlock(WIDTH, dilation=2, channels_first=True), torch.randn(2, WIDTH, 20)
    mixed = block.norm(block.convolution(hidden).transpose(1, 2))
    expected = hidden + block.narrow(F.gelu(block.widen(mixed))).transpose(1, 2)
    assert torch.equal(block(hidden), expected)
    assert block.convolution.padding == (6,)


def test_a_block_with_factors() -> None:
    block, hidden = ConvNeXtBlock(WIDTH, scale=0.2), torch.randn(2, 20, WIDTH)
    mixed = block.norm(block.convolution(hidden.transpose(1, 2)).transpose(1, 2))
    assert torch.equal(block(hidden), hidden + block.scale * block.narrow(F.gelu(block.widen(mixed))))
    assert torch.equal(block.scale.detach(), torch.full((WIDTH,), 0.2))


def test_a_block_with_an_embedding_and_padding() -> None:
    block, hidden, embedding = ConvNeXtBlock(WIDTH, embedding_width=4), torch.randn(2, 20, WIDTH), torch.randn(2, 4)
    hidden[1, 12:] = torch.nan  # padding may hold anything
    mask = torch.ones(2, 20, 1, dtype=torch.bool)
    mask[1, 12:] = False
    normed = block.norm(block.convolution(hidden.where(mask, 0).transpose(1, 2)).transpose(1, 2))
    gain, shift = block.film(embedding)[:, None].chunk(2, dim=2)
    expected = hidden + block.narrow(F.gelu(block.widen(normed * (1 + gain) + shift)))
    assert torch.equal(block(hidden, mask, embedding).where(mask, 0), expected.where(mask, 0))
    alone = block(hidden[1:, :12], embedding=embedding[1:])
    assert torch.allclose(alone, block(hidden, mask, embedding)[1:, :12], atol=1e-6)


@pytest.mark.parametrize(
    ("block", "names"),
    [
        (ConvNeXtBlock(WIDTH), ["convolution", "norm", "widen", "narrow"]),
        (ConvNeXtBlock(WIDTH, embedding_width=2), ["convolution", "norm", "film", "widen", "narrow"]),
        (ConvNeXtBlock(WIDTH, scale=1.0), ["scale", "convolution", "norm", "widen", "narrow"]),
        (Paper(WIDTH, scale=1.0), ["gamma", "dwconv", "norm", "pwconv1", "pwconv2"]),
    ],
)
def test_tensors_are_called_as_in_saved_runs(block: ConvNeXtBlock, names: list[str]) -> None:
    assert list(dict.fromkeys(name.partition(".")[0] for name in block.state_dict())) == names


def test_new_weights_are_drawn_in_the_order_of_the_layers() -> None:
    """So that a seed gives a new model the same weights as before."""
    torch.manual_seed(3)
    block = ConvNeXtBlock(WIDTH, hidden=8, embedding_width=2)
    torch.manual_seed(3)
    layers: list[nn.Module] = [nn.Conv1d(WIDTH, WIDTH, 7, padding=3, groups=WIDTH), nn.LayerNorm(WIDTH)]
    layers += [nn.Linear(2, 2 * WIDTH), nn.Linear(WIDTH, 8), nn.Linear(8, WIDTH)]
    expected: list[Tensor] = [tensor for layer in layers for tensor in layer.state_dict().values()]
    for tensor, wanted in zip(block.state_dict().values(), expected, strict=True):
        assert torch.equal(tensor, wanted)
