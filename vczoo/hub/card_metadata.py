"""Metadata block of a model card: the YAML front matter that the Hub reads and searches."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from vczoo.hub.card_facts import CardFacts
from vczoo.io.markdown import one_line

__all__ = ["metadata_of", "search_tag"]

LIBRARY = "vczoo"
_HUB_ID = re.compile(r"(?:[\w.-]{1,96}/)?[\w.-]{1,96}", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}|multilingual")

# Metrics of `vczoo evaluate`, by their name there: the metric's type, which is the Hub's id if it has one (wer, cer),
# and its title.
_EVALUATION_METRICS = {
    "similarity_to_target": ("speaker_similarity", "Speaker similarity to the target, cosine"),
    "wer": ("wer", "WER"),
    "cer": ("cer", "CER"),
    "eer": ("eer", "Equal error rate of a verifier, 0.5 at best"),
    "dnsmos_overall": ("dnsmos", "DNSMOS, overall"),
    "f0_correlation": ("f0_correlation", "Correlation of F0 with the source"),
    "mcd_db": ("mcd", "Mel-cepstral distortion, dB"),
    "real_time_factor": ("rtf", "Real-time factor"),
}

UTTERANCES = "Classification of utterances"
# Metrics of a fine-tune, by the last part of their name: the Hub's task, the task's title, the metric and its title.
_FINE_TUNE_METRICS = {
    "accuracy": ("audio-classification", "Speaker recognition", "accuracy", "Accuracy"),
    "recall": ("audio-classification", UTTERANCES, "recall", "Unweighted average recall"),
    "wer": ("automatic-speech-recognition", "Speech recognition", "wer", "WER"),
    "cer": ("automatic-speech-recognition", "Speech recognition", "cer", "CER"),
    "similarity": (
        "audio-to-audio",
        "Voice conversion",
        "speaker_similarity",
        "Speaker similarity of held-out conversions, cosine",
    ),
    "character_error": ("audio-to-audio", "Voice conversion", "cer", "CER of held-out conversions"),
}


def metadata_of(facts: CardFacts) -> ModelCardData:
    """Return the metadata of a card."""
    results = [*_evaluated(facts), *_fine_tuned(facts)]
    other = facts.licence == "other"
    bases = [name for name in dict.fromkeys(facts.base_models) if _HUB_ID.fullmatch(name)]
    datasets = [name for name in dict.fromkeys(facts.datasets) if _HUB_ID.fullmatch(name)]
    languages = dict.fromkeys(re.split("[-_]", name.strip().lower())[0] for name in facts.languages)
    return ModelCardData(
        license=facts.licence,
        license_name=one_line(facts.licence_name) or None if other else None,
        license_link=one_line(facts.licence_link) or None if other else None,
        library_name=LIBRARY,
        pipeline_tag=_pipeline(facts),
        tags=list(_tags(facts)),
        language=[name for name in languages if _LANGUAGE.fullmatch(name)] or None,
        base_model=bases or None,
        base_model_relation="finetune" if bases else None,
        datasets=datasets or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=one_line(facts.repository) if results else None,
        eval_results=results or None,
    )


def _pipeline(facts: CardFacts) -> str:
    """Return the Hub's task of the model; conversion comes before recognition."""
    if facts.converts:
        return "audio-to-audio"
    return "automatic-speech-recognition" if facts.has("text") else "audio-classification"


def search_tag(kind: str, name: str) -> str:
    """Return the Hub tag for runs that use a part or recipe, such as `search_tag("backbone", "timm/resnet18")`."""
    slug = re.sub(r"[^a-z0-9.]+", "-", one_line(name).lower()).strip("-.")
    return f"{LIBRARY}-{kind}:{slug}"


def _tags(facts: CardFacts) -> Iterable[str]:
    tags = [LIBRARY]
    if facts.converts:
        tags += ["voice-conversion", "audio-to-audio"]
    elif facts.has("speaker"):
        tags.append("speaker-recognition")
    tags += ["automatic-speech-recognition"] * facts.has("text") + ["audio-classification"] * facts.has("label")
    tags.append(search_tag("recipe", facts.recipe))
    for part in facts.parts:
        if part.role in ("backbone", "vocoder"):
            tags.append(search_tag(part.role, part.use))
    tags += [search_tag("base", ancestor.name) for ancestor in facts.lineage if ancestor.kind == "bundled"]
    return dict.fromkeys(tags)


def _evaluated(facts: CardFacts) -> Iterator[EvalResult]:
    """Yield the evaluation results of the published model. Floors and ceilings are only in the card's table."""
    evaluation = facts.evaluation or {}
    trials = one_line(str(evaluation.get("setup", {}).get("trials", ""))) or "trials"
    for system in evaluation.get("systems", ()):
        if system.get("role") != "system":
            continue
        for name, figure in system.get("figures", {}).items():
            base, _, recognizer = str(name).partition(":")
            value, low, high = (_number(figure.get(key)) for key in ("value", "low", "high"))
            if base not in _EVALUATION_METRICS or value is None:
                continue
            metric, title = _EVALUATION_METRICS[base]
            interval = "" if low is None or high is None else f", 95% interval {low:.3f} to {high:.3f}"
            suffix = f" by {one_line(recognizer)}" if recognizer else ""
            yield EvalResult(
                task_type="audio-to-audio",
                task_name="Voice conversion",
                dataset_type="trials",  # the Hub treats results of one task, type and split as one dataset's
                dataset_name=trials,
                dataset_split="test",
                metric_type=metric,
                metric_name=f"{title}{suffix}{interval}",
                metric_value=round(value, 4),
            )


def _fine_tuned(facts: CardFacts) -> Iterator[EvalResult]:
    """Yield the metrics of the fine-tune that can be compared between models, which losses cannot.

    A head with one class is always right, so its accuracy is left out.
    """
    split = "test" if facts.metrics.get("test") else "validation"
    recordings = one_line(facts.consent.dataset) or "recordings of its own voices"
    for name, raw in (facts.metrics.get(split) or {}).items():
        value = _number(raw)
        head, _, figure = str(name).rpartition(".")
        if value is None or figure not in _FINE_TUNE_METRICS or facts.classes_of(head) == 1:
            continue
        task, task_name, metric, title = _FINE_TUNE_METRICS[figure]
        task_name = UTTERANCES if facts.tasks.get(head) == "label" else task_name
        yield EvalResult(
            task_type=task,
            task_name=task_name,
            dataset_type=facts.consent.hub_id or "recordings",
            dataset_name=f"{recordings}, {split} split",
            dataset_split=split,
            metric_type=metric,
            metric_name=f"{title} of head {one_line(head)}" if head else title,
            metric_value=round(value, 4),
        )


def _number(value: Any) -> float | None:
    """Return `value` as a float if it is a finite number, else None. Metrics that do not apply are null in JSON."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
