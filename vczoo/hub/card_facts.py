"""`CardFacts`: what a model card says, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from vczoo.hub.consent import Consent
from vczoo.io.markdown import web_address

__all__ = ["CardFacts", "PartFacts", "SampleFacts", "VoiceFacts"]


@dataclass(frozen=True)
class PartFacts:
    """A part of the model and where it is from.

    Attributes:
        role: backbone, freezing, head `<name>`, vocoder, teacher.
        use: the name that it is registered under.
        weights: name of its pretrained weights; empty where it has none.
        source: address or Hub repository of those.
        revision: the full revision of a Hub repository.
        sha256: of the file of weights.
        licence: of the weights, or of the part where it has none; SPDX identifier or "unknown".
    """

    role: str
    use: str
    weights: str = ""
    source: str = ""
    revision: str = ""
    sha256: str = ""
    licence: str = ""


@dataclass(frozen=True)
class VoiceFacts:
    """A voice that the model knows.

    Attributes:
        name: as `voice=` takes it.
        minutes: of speech that it was trained on; None for a voice enrolled without training.
    """

    name: str
    minutes: float | None = None


@dataclass(frozen=True)
class SampleFacts:
    """A recording in the repository to listen to.

    Attributes:
        path: in the repository.
        voice: that it is in.
        words: what is said.
        speaker: who said it, before it was converted.
    """

    path: str
    voice: str
    words: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class CardFacts:
    """What a card says. Text in it may come from anywhere: `make_card` makes it harmless.

    Attributes:
        repository: `owner/name`.
        recipe, summary: name and summary of the recipe.
        recipe_yaml: the recipe, resolved.
        licence: identifier of the Hub's list, checked.
        consent: by what right the voices are shared.
        parts: what the model is made of.
        voices: in the order to be shown.
        tasks: what each head is for, by its name: speaker, voice, text, label or frames.
        labels: that it tells apart.
        minutes: of speech, of each speaker that it was trained on, where it keeps no voices.
        languages: ISO 639 codes, or names, of the speech it was trained on.
        base_models, datasets: ids on the Hub.
        versions: of vczoo and of the plugins, by distribution.
        seed: of the fine-tune; None where there was none.
        metrics: of the fine-tune, as in metrics.json: speakers, epochs, best_epoch, seconds, validation, test.
        evaluation: as `vczoo evaluate` writes it; None where none was done.
        plots: paths of images in the repository.
        samples: recordings in the repository.
        files: size in bytes by path in the repository.
        licence_notes: of `check_licence`.
        licence_name, licence_link: where the licence is `other`: its name, and its address or path.
        endpoint: the address of the Hub.
        revision: tag or branch that the card is of; empty where it is the newest.
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
        """Whether it has a voice head."""
        return "voice" in self.tasks.values()

    def has(self, task: str) -> bool:
        """Whether it has a head for something."""
        return task in self.tasks.values()

    @property
    def trained_minutes(self) -> list[float]:
        """Of each voice that was trained; of each speaker, where it keeps no voices."""
        return [voice.minutes for voice in self.voices if voice.minutes is not None] or list(self.minutes)

    def url(self, path: str) -> str:
        """Where a file of the repository is downloaded; relative paths do not play everywhere that cards are shown."""
        where = f"{self.repository}/resolve/{quote(self.revision or 'main', safe='')}/{quote(path, errors='replace')}"
        return web_address(f"{self.endpoint.rstrip('/')}/{where}")
