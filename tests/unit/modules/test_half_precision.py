"""A backbone in half precision: under autocast, or refused by name."""

from __future__ import annotations

import pytest
import torch

import vczoo
from vczoo.errors import ContractError

WAVE = vczoo.Waveform.of(0.1 * torch.randn(1, 4000), 16000)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_are_refused_with_what_to_do(dtype: torch.dtype) -> None:
    backbone = vczoo.create_backbone("mel-conv", width=16, blocks=1).eval()
    expected = backbone(WAVE).values
    backbone.to(dtype=dtype)
    with pytest.raises(ContractError, match=rf"MelConv .* weights of {dtype}; call float\(\) on it, .*autocast"):
        backbone(WAVE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = vczoo.create_backbone("mel-conv", width=16, blocks=1).eval()(WAVE).values
    assert values.shape == expected.shape
    assert values.isfinite().all()
