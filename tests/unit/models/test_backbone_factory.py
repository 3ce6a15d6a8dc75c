"""`create_backbone`: a module by name, and errors that list every fault of its options."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import vczoo
from vczoo.errors import ContractError, UnknownNameError


def test_a_backbone_is_a_module_with_a_spec_and_as_many_stages_as_asked_for() -> None:
    backbone = vczoo.create_backbone("timm/resnet18", stages=3, weights="random")
    assert isinstance(backbone, nn.Module)
    assert len(backbone.stages()) == 3
    wave = vczoo.Waveform.of(0.1 * torch.randn(2, 8000), backbone.spec.sample_rate_hz)
    assert backbone.eval()(wave).values.shape[2] == backbone.spec.channels
    small = vczoo.create_backbone("mel-conv", width=16, blocks=1)
    assert small.spec.channels == 16


def test_faults_of_options_are_listed_together() -> None:
    with pytest.raises(ContractError, match=r"mel-conv.widht: .*did you mean.*width.*; mel-conv.blocks: "):
        vczoo.create_backbone("mel-conv", widht=16, blocks="many")
    with pytest.raises(ContractError, match=r"mel-conv.out_stage: mel-conv has no such option"):
        vczoo.create_backbone("mel-conv", stages=2)
    with pytest.raises(ContractError, match="stage"):
        vczoo.create_backbone("timm/resnet18", stages=99, weights="random")
    with pytest.raises(UnknownNameError, match="mel-conv"):
        vczoo.create_backbone("mel-con")
