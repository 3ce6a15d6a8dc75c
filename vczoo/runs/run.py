"""The run folder: a trained model and its voices in, a folder of YAML and safetensors out, and back, strictly.

vczoo.yaml           `vczoo.runs.config.RunConfig`: recipe, base, speakers, versions, checksums
model.safetensors    what training changed: every tensor that is not, bit by bit, the pretrained base's
voices.safetensors   <voice>/<head>.<tensor>; in both, float16 may stand for float32
metrics.json         figures of the fine-tune
metrics.jsonl        the same, epoch by epoch
curves.png           a picture of them, where matplotlib is
logs/                of TensorBoard, if it was asked for
manifest.jsonl       the recordings it was trained on, with their splits; it stays on the machine
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vczoo.models.bundled import CONFIG
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.heads import Voice
from vczoo.runs.config import BasePart, File
from vczoo.runs.pretrained_base import Place

__all__ = ["CONFIG", "MANIFEST", "METRICS", "MODEL", "VOICES", "Run", "is_run", "own_voices"]

MODEL: File = "model.safetensors"
VOICES: File = "voices.safetensors"
METRICS: File = "metrics.json"
MANIFEST = "manifest.jsonl"


@dataclass
class Run:
    """A model with what belongs to it.

    Attributes:
        recipe: that it was built from.
        model: the parts.
        speakers: of the training data, in the order of the logits.
        voices: targets of conversion, by name.
        metrics: figures of the fine-tune.
        data: what is kept of the training data: `fingerprint`, and `minutes` by speaker.
        licence: under which it is shared; empty before.
        consent: by what right the voices are used; empty before it is shared.
        base: what the pretrained parts are, as far as it is not for the model itself to say.
        folder: where it was read from or written to last; None for one that is in memory alone.
        labels: that its label heads know, in the order of the logits.
        revision: the first digits of its configuration's SHA-256, or its commit on the Hub.
    """

    recipe: Recipe
    model: Model
    speakers: tuple[str, ...]
    voices: dict[str, Voice]
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    consent: str = ""
    base: dict[Place, BasePart] = field(default_factory=dict)
    folder: Path | None = None
    revision: str = ""
    labels: tuple[str, ...] = ()


def is_run(path: Path) -> bool:
    """Whether a folder holds a finished run."""
    return (path / CONFIG).is_file()


def own_voices(run: Run) -> dict[str, Voice]:
    """The voices of a run but for those that its recipe's start has lent."""
    return {name: voice for name, voice in run.voices.items() if not voice.lent}
