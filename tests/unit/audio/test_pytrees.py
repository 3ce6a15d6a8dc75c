"""Waveforms and frames in torch.func and torch.export, and on other devices and types."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import vczoo
from vczoo.audio.frames import Frames
from vczoo.audio.provenance_mark import Mark
from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, ContractError

MARK = Mark("demo", {"bob": 1.0}, "1234567890abcdef")
WAVE = Waveform(0.1 * torch.randn(2, 1600), 16000, torch.tensor([1600, 800]), MARK)


class Halved(nn.Module):
    """Frames in, frames out, with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, frames: Frames) -> Frames:
        return frames.with_values(self.gain * frames.values)


def test_tensors_are_the_leaves_and_the_rest_comes_back() -> None:
    leaves, spec = pytree.tree_flatten(WAVE)
    assert [leaf.shape for leaf in leaves] == [(2, 1600), (2,)]
    wave = pytree.tree_unflatten(leaves, spec)
    assert (wave.sample_rate_hz, wave.mark) == (16000, MARK)
    assert torch.equal(wave.samples, WAVE.samples)
    frames = pytree.tree_map(lambda tensor: tensor[:1], Frames(torch.zeros(2, 5, 3), torch.tensor([5, 4])))
    assert (len(frames), frames.longest) == (1, 5)


def test_functional_call_and_grad_go_through_frames() -> None:
    module, frames = Halved(), Frames.of(torch.ones(2, 4, 3))

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(module, parameters, (frames,)).values.sum()

    gradient = torch.func.grad(loss)({"gain": torch.tensor(2.0)})
    assert gradient["gain"] == 24.0
    pooled = torch.func.vmap(lambda values: Frames.of(values).values.sum(), in_dims=0)(torch.ones(5, 4, 3))
    assert torch.equal(pooled, torch.full((5,), 12.0))
    doubled = torch.func.vmap(lambda item: Frames.of(2 * item.values), in_dims=0)(frames)
    assert torch.equal(doubled.values[:, 0], 2 * frames.values)


def test_a_module_of_frames_is_exported() -> None:
    frames = Frames.of(torch.randn(1, 4, 3))
    program = torch.export.export(Halved(), (frames,), strict=False)
    out = program.module()(frames)
    assert isinstance(out, vczoo.Frames)
    assert torch.equal(out.values, 0.5 * frames.values)


def test_devices_and_types() -> None:
    wave = WAVE.to("cpu", torch.float16)
    assert (wave.samples.dtype, wave.lengths.dtype, wave.mark) == (torch.float16, torch.int64, MARK)
    frames = Frames.of(torch.zeros(1, 4, 3)).to(dtype=torch.bfloat16)
    assert (frames.values.dtype, frames.lengths.dtype) == (torch.bfloat16, torch.int64)
    with pytest.raises(AudioError, match=r"samples are floats, so torch.int16 is not possible"):
        WAVE.to(dtype=torch.int16)
    with pytest.raises(ContractError, match=r"frames are floats, so torch.int64 is not possible"):
        frames.to("cpu", torch.int64)


def test_a_backbone_is_exported_for_waveforms_without_padding() -> None:
    backbone = vczoo.create_backbone("mel-conv").eval()
    waves = [vczoo.Waveform.of(0.1 * torch.randn(2, 8000), 16000) for _ in range(2)]
    with torch.no_grad():
        program = torch.export.export(backbone, (waves[0],), strict=False).module()
        for wave in waves:
            expected, frames = backbone(wave), program(wave)
            torch.testing.assert_close(frames.values, expected.values)
            assert frames.lengths.tolist() == expected.lengths.tolist()
        with pytest.raises(RuntimeError, match="an exported backbone takes recordings without padding"):
            program(vczoo.Waveform(waves[0].samples, 16000, torch.tensor([8000, 4000])))
