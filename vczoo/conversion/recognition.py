"""Transcription and classification of recordings with a model's text and label heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.errors import VczooError
from vczoo.models.model import Model

__all__ = ["check_classifies", "check_transcribes", "classify", "transcribe"]


def check_transcribes(model: Model, trained: bool) -> None:
    """Raise VczooError if the model has no trained text head.

    Args:
        model: The model to check.
        trained: Whether the model has been fine-tuned.

    Raises:
        VczooError: The model has no text head, or its text head has not been trained.
    """
    _check(model, "text", "transcribes speech", trained)


def check_classifies(model: Model, labels: Sequence[str]) -> None:
    """Raise VczooError if the model has no trained label head.

    Args:
        model: The model to check.
        labels: Labels of the run; empty if its label head has not been trained.

    Raises:
        VczooError: The model has no label head, or its label head has not been trained.
    """
    _check(model, "label", "classifies utterances", bool(labels))


@torch.inference_mode()
def transcribe(model: Model, wave: Waveform) -> str:
    """Transcribe a recording, (1, S) at the model's sample rate, with the first text head.

    A recording of more than half a minute is encoded in parts of equal duration and transcribed as a whole.
    """
    head = next(iter(model.text_heads.values()))
    return head.transcribe(_encode(model, wave))[0]


@torch.inference_mode()
def classify(model: Model, wave: Waveform) -> dict[str, float]:
    """Compute the probability of each label with the first label head, the most likely first."""
    head = next(iter(model.label_heads.values()))
    probabilities = head.logits(_encode(model, wave))[0].float().softmax(dim=0).tolist()
    return dict(sorted(zip(head.labels, probabilities, strict=True), key=lambda item: -item[1]))


def _encode(model: Model, wave: Waveform) -> Frames:
    """Content frames of one recording: those of all its parts, concatenated."""
    parts = [model.content(part) for part in wave.parts()]
    return parts[0] if len(parts) == 1 else Frames.of(torch.cat([part[0].values for part in parts], dim=1))


def _check(model: Model, task: str, ability: str, trained: bool) -> None:
    if task not in model.tasks.values():
        heads = ", ".join(f"{name} ({kind})" for name, kind in model.tasks.items())
        raise VczooError(
            f"no head of this recipe {ability}: it has {heads}. "
            f"Load a run of one that has a {task} head, see `vczoo list`"
        )
    if not trained:
        raise VczooError(
            f"the {task} head of this recipe has not been trained; train it with `vczoo train` and load that run"
        )
