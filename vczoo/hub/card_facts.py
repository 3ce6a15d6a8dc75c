"""Contents of a model card, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from vczoo.hub.consent import Consent
from vczoo.io.markdown import web_address
from vczoo.runs.config import Ancestor

__all__ = ["CardFacts", "PartFacts", "SampleFacts", "VoiceFacts"]


@dataclass(frozen=True)
class PartFacts:
    """A part of the model and its origin.

    Attributes:
        role: Role in the recipe: backbone, freezing, head `<name>`, vocoder or teacher.
        use: The name that the part is registered under.
        weights: Name of its pretrained weights; empty if it has none.
        source: Hub repository or URL of the weights.
        revision: Full commit of the Hub repository.
        sha256: SHA-256 of the weights file.
        licence: License of the weights, or of the part if it has no weights; an SPDX identifier or "unknown".
        start: The run that its tensors began with; None if there is none.
    """

    role: str
    use: str
    weights: str = ""
    source: str = ""
    revision: str = ""
    sha256: str = ""
    licence: str = ""
    start: Ancestor | None = None


@dataclass(frozen=True)
class VoiceFacts:
    """A voice that the model can convert to.

    Attributes:
        name: Name of the voice, as passed to `voice=`.
        minutes: Minutes of speech that the model was trained on; None for a voice enrolled without training.
    """

    name: str
    minutes: float | None = None


@dataclass(frozen=True)
class SampleFacts:
    """A converted recording in the repository, for listening.

    Attributes:
        path: Path in the repository.
        voice: The voice that it was converted to.
        words: Transcript, if known.
        speaker: Speaker of the source recording, if known.
    """

    path: str
    voice: str
    words: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class CardFacts:
    """Contents of a model card. Texts may come from untrusted sources; `make_card` escapes them.

    Attributes:
        repository: `owner/name`.
        recipe: Name of the recipe.
        summary: Summary of the recipe.
        recipe_yaml: The resolved recipe, as YAML.
        licence: Hub identifier of the license, already checked.
        consent: Statement of the right to share the voices.
        parts: Parts of the model.
        voices: Voices, in display order.
        tasks: Task of each head, by the head's name: speaker, voice, text, label or frames.
        labels: Labels that the label heads distinguish.
        minutes: Minutes of speech of each training speaker, if the run has no voices.
        languages: Languages of the training speech, as ISO 639 codes or names.
        base_models: Hub ids of the pretrained models.
        lineage: The runs that this one was made from, the nearest first.
        base_run: The run that loading this one needs; empty if none.
        attribution: The credit that the run itself asks for, one line each.
        datasets: Hub ids of the training datasets.
        versions: Versions of vczoo and its plugins, by distribution.
        seed: Random seed of the fine-tune; None if there was no fine-tune.
        metrics: Metrics of the fine-tune, as in metrics.json: speakers, epochs, best_epoch, kept_epoch, seconds,
            validation, test.
        evaluation: Results of `vczoo evaluate`, as it writes them; None if there are none.
        plots: Paths of images in the repository.
        samples: Converted recordings in the repository.
        files: Size in bytes of each file in the repository, by path.
        licence_notes: Notes from `check_licence`.
        licence_name: Name of the license if `licence` is `other`.
        licence_link: URL or path of that license.
        endpoint: URL of the Hub.
        revision: Tag or branch that the card describes; empty for the newest version.
    """

    repository: str
    recipe: str
    summary: str
    recipe_yaml: str
    licence: str
    consent: Consent
    parts: tuple[PartFacts, ...] = ()
    voices: tuple[VoiceFacts, ...] = ()
    tasks: Mapping[str, str] = field(default_factory=lambda: {"speaker": "speaker", "voice": "voice"})
    labels: tuple[str, ...] = ()
    minutes: tuple[float, ...] = ()
    languages: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    lineage: tuple[Ancestor, ...] = ()
    base_run: str = ""
    attribution: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] | None = None
    plots: tuple[str, ...] = ()
    samples: tuple[SampleFacts, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    licence_notes: tuple[str, ...] = ()
    licence_name: str = ""
    licence_link: str = ""
    endpoint: str = "https://huggingface.co"
    revision: str = ""

    @property
    def converts(self) -> bool:
        """Whether the model has a voice head."""
        return "voice" in self.tasks.values()

    def has(self, task: str) -> bool:
        """Whether the model has a head for `task`."""
        return task in self.tasks.values()

    @property
    def trained_minutes(self) -> list[float]:
        """Minutes of speech of each trained voice, or of each training speaker if the run has no trained voices."""
        return [voice.minutes for voice in self.voices if voice.minutes is not None] or list(self.minutes)

    def classes_of(self, head: str) -> int | None:
        """Number of classes that a speaker or label head chooses from; None for other heads, or if it is unknown."""
        task = self.tasks.get(head)
        count = len(self.labels) if task == "label" else self.metrics.get("speakers") if task == "speaker" else None
        return count if isinstance(count, int) and count > 0 else None

    def url(self, path: str) -> str:
        """Return the download URL of a file. Relative paths do not play in every place where cards are shown."""
        path_on_hub = (
            f"{self.repository}/resolve/{quote(self.revision or 'main', safe='')}/{quote(path, errors='replace')}"
        )
        return web_address(f"{self.endpoint.rstrip('/')}/{path_on_hub}")
