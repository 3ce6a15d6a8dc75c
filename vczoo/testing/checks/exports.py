"""Conformance check of parts whose entry says that `torch.export` supports them."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.heads import SpeakerHead
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.testing.checks.expectations import expect_same, noise
from vczoo.testing.checks.specimen import Specimen, random_frames

__all__ = ["EXPORT_CHECKS"]


def export(specimen: Specimen) -> None:
    """A part that is exported, saved and loaded gives the same output."""
    part = specimen.copy()
    wrapper: nn.Module
    if isinstance(part, Backbone):
        wrapper, example = _FromWaveform(part), noise(part.spec, 24.3, 0).samples
    elif isinstance(part, Vocoder):
        wrapper, example = _FromFrames(part), random_frames(part.accepts.channels, 0)[:1] - 5
    elif isinstance(part, SpeakerHead):
        wrapper, example = _Embedding(part), random_frames(specimen.context["frames"].channels, 0)[:1]
    else:
        raise ContractError(
            f"only backbones, vocoders and speaker heads can be exported, got {type(part).__name__}; remove `exports`"
        )
    with torch.no_grad():
        expected = wrapper(example)
        program = torch.export.export(wrapper.eval(), (example,), strict=False)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own file format
            torch.export.save(program, Path(folder) / "part.pt2")
            loaded = torch.export.load(Path(folder) / "part.pt2")
        expect_same(loaded.module()(example), expected, "the exported part must give the same output as the part")


class _FromWaveform(nn.Module):
    """(1, S) samples -> (1, T, C) frames of the backbone."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, samples: Tensor) -> Tensor:
        frames: Frames = self.backbone(Waveform.of(samples, self.backbone.spec.sample_rate_hz))
        return frames.values


class _FromFrames(nn.Module):
    """(1, T, C) frames -> (1, S) samples of the vocoder."""

    def __init__(self, vocoder: Vocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, values: Tensor) -> Tensor:
        samples: Tensor = self.vocoder(Frames.of(values)).samples
        return samples


class _Embedding(nn.Module):
    """(1, T, C) frames -> (1, E) embedding of the speaker head."""

    def __init__(self, head: SpeakerHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, values: Tensor) -> Tensor:
        return self.head.embed(Frames.of(values))


EXPORT_CHECKS = (export,)
