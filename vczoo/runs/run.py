"""`Run`: a trained model with its voices and metrics, and the names of the files in a run folder.

vczoo.yaml           `vczoo.runs.config.RunConfig`: recipe, base, speakers, versions, checksums
model.safetensors    every tensor that is not bit by bit equal to the pretrained base's or to the base run's
voices.safetensors   <voice>/<head>.<tensor>; here and in model.safetensors, float32 may be stored as float16
metrics.json         metrics of the fine-tune
metrics.jsonl        the same metrics, one line per epoch
curves.png           plot of the metrics
report.html          page about the run; never published
logs/                TensorBoard logs, if requested
manifest.jsonl       recordings of the training data, with their splits; never published
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vczoo.models.bundled import CONFIG
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.heads import Voice
from vczoo.runs.config import Ancestor, BasePart, BaseRun
from vczoo.runs.pretrained_base import Place

__all__ = ["CONFIG", "MANIFEST", "REVISION_DIGITS", "Delta", "Run", "is_run", "own_voices"]

MANIFEST = "manifest.jsonl"
REVISION_DIGITS = 12


@dataclass(frozen=True)
class Delta:
    """What tuning changed beside a base run.

    Attributes:
        base: The base run. A `local` one has an absolute path here.
        tensors: The tensors that differ from the base's, by their names in `Model.tensors` before changes of weights
            were merged into them.
    """

    base: BaseRun
    tensors: Mapping[str, Tensor] = field(repr=False)


@dataclass
class Run:
    """A model with its recipe, voices and metrics.

    Attributes:
        recipe: The recipe that the model was built from.
        model: The built model.
        speakers: Speakers of the training data, in the order of the logits.
        voices: Target voices, by name.
        metrics: Metrics of the fine-tune, as in metrics.json.
        data: Summary of the training data: its `fingerprint`, and `minutes` of speech by speaker.
        licence: License that the run is shared under; empty before it is shared.
        consent: Consent statement for the voices; empty before the run is shared.
        base: Sources of the pretrained parts, for parts that do not know their own.
        folder: The folder last read from or written to; None if the run is only in memory.
        revision: The first 12 hex digits of the configuration's SHA-256, or for a run from the Hub,
            `owner/name@commit`.
        labels: Labels of the label heads, in the order of the logits.
        attribution: The credit that the license and the training data ask for, one line each.
        lineage: The runs that this one was made from, the nearest first.
        delta: What tuning changed beside a base run, which is then all that is saved; None if the whole model is saved.
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
    attribution: tuple[str, ...] = ()
    lineage: tuple[Ancestor, ...] = ()
    delta: Delta | None = None

    def __repr__(self) -> str:
        place = f", {self.folder}" if self.folder else ""
        return f"<Run {self.recipe.name}: {len(self.speakers)} speakers, {len(self.voices)} voices{place}>"


def is_run(path: Path) -> bool:
    """Whether `path` is the folder of a finished run."""
    return (path / CONFIG).is_file()


def own_voices(run: Run) -> dict[str, Voice]:
    """Return the run's own voices, without those inherited from the run that its recipe starts from."""
    # A list, since another thread may enroll a voice.
    return {name: voice for name, voice in list(run.voices.items()) if not voice.lent}
