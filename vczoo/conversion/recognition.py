"""A model and a recording in; what is said in it, or which label it has, out."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.errors import VczooError
from vczoo.models.model import Model

__all__ = ["check_classifies", "check_transcribes", "classify", "transcribe"]


def check_transcribes(model: Model, trained: bool) -> None:
    """Refuse a model that writes nothing, or has learnt nothing yet.

    Args:
        trained: whether it is a fine-tune's.

    Raises:
        VczooError: it has no text head, or only a fresh one.
    """
    _check(model, "text", "writes down what is said", trained)


def check_classifies(model: Model, labels: Sequence[str]) -> None:
    """Refuse a model that knows no labels.

    Args:
        labels: of the run.

    Raises:
        VczooError: it has no label head, or only a fresh one.
    """
    _check(model, "label", "tells labels of utterances apart", bool(labels))


@torch.inference_mode()
def transcribe(model: Model, wave: Waveform) -> str:
    """What the first text head writes of a recording, (1, S) at the model's rate.

    One of more than half a minute is heard in parts of equal duration, and written down as one.
    """
    head = next(iter(model.text_heads.values()))
    return head.transcribe(_heard(model, wave))[0]


@torch.inference_mode()
def classify(model: Model, wave: Waveform) -> dict[str, float]:
    """The probability of each label of the first label head, the likeliest first; the recording as `transcribe`."""
    head = next(iter(model.label_heads.values()))
    shares = head.logits(_heard(model, wave))[0].float().softmax(dim=0).tolist()
    return dict(sorted(zip(head.labels, shares, strict=True), key=lambda item: -item[1]))


def _heard(model: Model, wave: Waveform) -> Frames:
    """The frames of one recording, of all parts after each other."""
    parts = [model.content(part) for part in wave.parts()]
    return parts[0] if len(parts) == 1 else Frames.of(torch.cat([part[0].values for part in parts], dim=1))


def _check(model: Model, task: str, does: str, trained: bool) -> None:
    if task not in model.tasks.values():
        heads = ", ".join(f"{name} ({what})" for name, what in model.tasks.items())
        raise VczooError(
            f"no head of this recipe {does}: it has {heads}. Load a run of one that has a {task} head, see `vczoo list`"
        )
    if not trained:
        raise VczooError(
            f"the {task} head of this recipe is fresh and knows nothing yet; `vczoo train` trains it: load that run"
        )
