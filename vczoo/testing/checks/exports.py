"""`torch.export`, a file and back, of a part that says it can: a `Specimen` in; nothing out, or a `ContractError`."""

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
    """`torch.export` takes it, and what is read back from the file gives the same."""
    part = specimen.copy()
    whole: nn.Module
    if isinstance(part, Backbone):
        whole, given = _FromWaveform(part), noise(part.spec, 24.3, 0).samples
    elif isinstance(part, Vocoder):
        whole, given = _FromFrames(part), random_frames(part.accepts.channels, 0)[:1] - 5
    elif isinstance(part, SpeakerHead):
        whole, given = _Embedding(part), random_frames(specimen.context["frames"].channels, 0)[:1]
    else:
        raise ContractError(f"backbones, vocoders and speaker heads can be exported, not a {type(part).__name__}")
    with torch.no_grad():
        wanted = whole(given)
        program = torch.export.export(whole.eval(), (given,), strict=False)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about its own file
            torch.export.save(program, Path(folder) / "part.pt2")
            read = torch.export.load(Path(folder) / "part.pt2")
        expect_same(read.module()(given), wanted, "what was exported gives what the part gives")


class _FromWaveform(nn.Module):
    """(1, S) samples -> (1, T, C), the backbone's frames."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, samples: Tensor) -> Tensor:
        backbone = self.backbone
        count = backbone.num_frames(samples.shape[1])
        ready = backbone.prepare(Waveform.of(samples, backbone.spec.sample_rate_hz))
        return backbone.collect(backbone.run(ready), torch.tensor([count])).values[:, :count]


class _FromFrames(nn.Module):
    """(1, T, C) -> (1, S), the vocoder's samples."""

    def __init__(self, vocoder: Vocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, values: Tensor) -> Tensor:
        samples: Tensor = self.vocoder(Frames.of(values)).samples
        return samples


class _Embedding(nn.Module):
    """(1, T, C) -> (1, E), the speaker head's embedding."""

    def __init__(self, head: SpeakerHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, values: Tensor) -> Tensor:
        return self.head.embed(Frames.of(values))


EXPORT_CHECKS = (export,)
