"""Measuring models and metrics of an evaluation, loaded by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vczoo.errors import ContractError, VczooError
from vczoo.evaluation.metrics.asr import Recogniser, load_recogniser
from vczoo.evaluation.metrics.naturalness import Dnsmos, Rater
from vczoo.evaluation.metrics.speaker_embedding import SpeakerModel, load_speaker_model
from vczoo.evaluation.metrics.word_errors import load_normalizer
from vczoo.models.part_options import make_part
from vczoo.modules.interfaces.metric import FIGURE_NAME, Case, Metric

__all__ = [
    "DEFAULT_ASR",
    "MEANS",
    "STANDARD_METRICS",
    "Measures",
    "Rater",
    "load_measures",
    "load_metric",
    "measure",
]

DEFAULT_ASR = "faster-whisper:tiny.en"
STANDARD_METRICS = ("f0-contour", "mel-cepstral-distortion")  # of every evaluation
NATURALNESS = "dnsmos"
MEANS = (  # figures that are averaged over trials
    "similarity_to_target",
    "similarity_to_source",
    "nearer_to_target",
    "f0_correlation",
    "f0_rmse_semitones",
    "mcd_db",
    "dnsmos_overall",
    "dnsmos_signal",
    "dnsmos_background",
)
FIGURES = (*MEANS, "eer", "wer", "cer", "real_time_factor")


@dataclass(frozen=True)
class Measures:
    """The measuring models of an evaluation.

    Attributes:
        speaker: Speaker model, for similarity and verification.
        recognisers: Speech recognizers, for word and character error rates; the first is the main one.
        rater: Naturalness model; None to skip naturalness.
        metrics: Further metrics by name, besides those that every evaluation computes.
        normalizer: Name of the normalizer of transcripts, for word and character error rates.
    """

    speaker: SpeakerModel
    recognisers: tuple[Recogniser, ...] = ()
    rater: Rater | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    normalizer: str = "basic"

    def __post_init__(self) -> None:
        names = [recogniser.name for recogniser in self.recognisers]
        if len(set(names)) < len(names):
            raise VczooError(
                f"several ASRs have the same name: {', '.join(names)}; their rates would have the same name. "
                "Rename a folder"
            )
        owners = dict.fromkeys(FIGURES, "vczoo")
        for name, metric in self.metrics.items():
            for column in metric.columns:
                if not FIGURE_NAME.fullmatch(column.name):
                    raise ContractError(
                        f"metric {name!r} has a figure called {column.name!r}; expected lowercase letters, digits "
                        "and underscores"
                    )
                if column.name in owners:
                    raise VczooError(
                        f"metric {name!r} computes {column.name!r}, and so does {owners[column.name]}; leave out one "
                        "of the two metrics"
                    )
                owners[column.name] = f"metric {name!r}"

    @property
    def commits(self) -> dict[str, str]:
        """The commit of each model that was loaded from the Hugging Face Hub, by the model's name."""
        models: tuple[Any, ...] = (self.speaker, *self.recognisers)
        return {model.name: model.commit for model in models if getattr(model, "commit", "")}


def load_measures(
    speaker: str | None = None,
    asr: Sequence[str] = (DEFAULT_ASR,),
    *,
    naturalness: bool = True,
    metrics: Sequence[str] = (),
    normalizer: str = "basic",
    device: str = "cpu",
) -> Measures:
    """Load measuring models by name.

    Args:
        speaker: Name of the speaker model: `wavlm-sv`, `resemblyzer` or `xvector:<Hub id or folder>`. None for
            resemblyzer if it is installed, otherwise wavlm-sv. The reports say which it was.
        asr: Names of the speech recognizers, the main one first: `faster-whisper:<size or folder>`,
            `transformers:<Hub id or folder>` or `pocketsphinx`.
        naturalness: Whether to measure DNSMOS.
        metrics: Names of further metrics, as `vczoo list --parts metric` prints them.
        normalizer: Name of the normalizer of transcripts: `basic` or `whisper-english`.
        device: Device that the models run on, such as `cpu` or `cuda`.

    Raises:
        UnknownNameError: There is no model of that name; the message lists the nearest names.
        PluginError: A library is not installed; the message names the extra to install.
        WeightsError: Weights are unavailable.
    """
    load_normalizer(normalizer)
    return Measures(
        load_speaker_model(speaker, device),
        tuple(load_recogniser(name, device) for name in dict.fromkeys(asr)),
        Dnsmos() if naturalness or NATURALNESS in metrics else None,
        {name: load_metric(name) for name in metrics if name not in (*STANDARD_METRICS, NATURALNESS)},
        normalizer,
    )


def load_metric(name: str) -> Metric:
    """Load a metric by its registered name.

    Raises:
        VczooError: No metric has this name (the message lists the nearest names), or it cannot be made.
    """
    metric = make_part("metric", name)
    if not isinstance(metric, Metric):
        raise ContractError(
            f"metric {name!r} made a {type(metric).__name__}, expected a vczoo.Metric; report this to the plugin's "
            "author"
        )
    return metric


def measure(name: str, metric: Metric, case: Case) -> dict[str, float]:
    """Measure one recording with a metric.

    Raises:
        ContractError: A figure is not a finite number.
    """
    figures = {figure: float(value) for figure, value in metric.measure(case).items()}
    if broken := [figure for figure, value in figures.items() if not math.isfinite(value)]:
        raise ContractError(
            f"metric {name!r}: {broken[0]} is {figures[broken[0]]}, expected a finite number; report this to the "
            "plugin's author, and leave the metric out"
        )
    return figures
