"""Measuring models of an evaluation (speaker model, speech recognizers, naturalness), loaded by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vczoo.audio.waveform import Waveform
from vczoo.errors import VczooError
from vczoo.evaluation.metrics.asr import Recogniser, load_recogniser
from vczoo.evaluation.metrics.naturalness import Dnsmos, Opinion
from vczoo.evaluation.metrics.speaker_embedding import SpeakerModel, load_speaker_model

__all__ = ["DEFAULT_ASR", "DEFAULT_SPEAKER", "Measures", "Rater", "load_measures"]

DEFAULT_SPEAKER = "resemblyzer"
DEFAULT_ASR = "faster-whisper:tiny.en"


class Rater(Protocol):
    """A model that estimates listeners' mean opinion scores."""

    name: str

    def rate(self, wave: Waveform) -> Opinion:
        """Estimate the scores of a waveform (1, S) of any rate."""


@dataclass(frozen=True)
class Measures:
    """The measuring models of an evaluation.

    Attributes:
        speaker: Speaker model, for similarity and verification.
        recognisers: Speech recognizers, for word and character error rates; the first is the main one.
        rater: Naturalness model; None to skip naturalness.
    """

    speaker: SpeakerModel
    recognisers: tuple[Recogniser, ...] = ()
    rater: Rater | None = None

    def __post_init__(self) -> None:
        names = [recogniser.name for recogniser in self.recognisers]
        if len(set(names)) < len(names):
            raise VczooError(
                f"several ASRs have the same name: {', '.join(names)}; their rates would have the same name. "
                "Rename a folder"
            )

    @property
    def commits(self) -> dict[str, str]:
        """The commit of each model that was loaded from the Hugging Face Hub, by the model's name."""
        models: tuple[Any, ...] = (self.speaker, *self.recognisers)
        return {model.name: model.commit for model in models if getattr(model, "commit", "")}


def load_measures(
    speaker: str = DEFAULT_SPEAKER,
    asr: Sequence[str] = (DEFAULT_ASR,),
    *,
    naturalness: bool = True,
    device: str = "cpu",
) -> Measures:
    """Load measuring models by name.

    Args:
        speaker: Name of the speaker model: `resemblyzer` or `xvector:<Hub id or folder>`.
        asr: Names of the speech recognizers, the main one first: `faster-whisper:<size or folder>`,
            `transformers:<Hub id or folder>` or `pocketsphinx`.
        naturalness: Whether to measure DNSMOS.
        device: Device that the models run on, such as `cpu` or `cuda`.

    Raises:
        UnknownNameError: There is no model of that name; the message lists the nearest names.
        PluginError: A library is not installed; the message names the extra to install.
        WeightsError: Weights are unavailable.
    """
    return Measures(
        load_speaker_model(speaker, device),
        tuple(load_recogniser(name, device) for name in dict.fromkeys(asr)),
        Dnsmos() if naturalness else None,
    )
