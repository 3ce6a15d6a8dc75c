"""Parts in half precision: under autocast, or refused by name."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize("part", ["speaker", "voice", "the vocoder"])
def test_so_are_those_of_heads_and_vocoders(made_run: Path, voices_folder: Path, part: str) -> None:
    converter = vczoo.load(made_run)
    module = dict(converter.model.heads.items()).get(part, converter.model.vocoder)
    module.register_parameter("narrow", torch.nn.Parameter(torch.zeros(1, dtype=torch.float16)))
    file = voices_folder / "bob" / "0.wav"
    use = (lambda: converter.embed(file)) if part == "speaker" else lambda: converter.convert(file, "alice")
    with pytest.raises(ContractError, match=rf"{part} reads float32, but has weights of torch.float16"):
        use()
