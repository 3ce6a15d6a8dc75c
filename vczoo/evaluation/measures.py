"""Names of measuring models in, the loaded models in one bundle out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vczoo.audio.waveform import Waveform
from vczoo.errors import VczooError
from vczoo.evaluation.metrics.asr import Recogniser, load_recogniser
from vczoo.evaluation.metrics.naturalness import Dnsmos, Opinion
from vczoo.evaluation.metrics.speaker_embedding import SpeakerModel, load_speaker_model

__all__ = ["DEFAULT_ASR", "DEFAULT_SPEAKER", "Measures", "Rater", "load_measures"]

DEFAULT_SPEAKER = "resemblyzer"
DEFAULT_ASR = "faster-whisper:tiny.en"


class Rater(Protocol):
    """Guesses what listeners would say."""

    name: str

    def rate(self, wave: Waveform) -> Opinion:
        """(1, S) of any rate."""


@dataclass(frozen=True)
class Measures:
    """The models that measure.

    Attributes:
        speaker: of similarity and verification.
        recognisers: of word and character errors; the first is the main one.
        rater: of naturalness; None to go without.
    """

    speaker: SpeakerModel
    recognisers: tuple[Recogniser, ...] = ()
    rater: Rater | None = None

    def __post_init__(self) -> None:
        names = [recogniser.name for recogniser in self.recognisers]
        if len(set(names)) < len(names):
            raise VczooError(f"two ASRs are both called {names}; their rates could not be told apart. Rename a folder")


def load_measures(
    speaker: str = DEFAULT_SPEAKER,
    asr: Sequence[str] = (DEFAULT_ASR,),
    *,
    naturalness: bool = True,
    device: str = "cpu",
) -> Measures:
    """Load measuring models by name.

    Args:
        speaker: `resemblyzer` or `xvector:<Hub id or folder>`.
        asr: `faster-whisper:<size or folder>`, `transformers:<Hub id or folder>`, `pocketsphinx`; the main one first.
        naturalness: whether DNSMOS is measured.
        device: where they compute.

    Raises:
        UnknownNameError: no such model; the nearest names.
        PluginError: a library is not installed; which extra to install.
        WeightsError: weights cannot be had.
    """
    return Measures(
        load_speaker_model(speaker, device),
        tuple(load_recogniser(name, device) for name in dict.fromkeys(asr)),
        Dnsmos() if naturalness else None,
    )
