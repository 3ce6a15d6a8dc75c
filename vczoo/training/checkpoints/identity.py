"""Identity of a fine-tune: everything that decides its result, compared when it is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vczoo.errors import RunError
from vczoo.models.recipe import Recipe
from vczoo.models.training_settings import VocoderTraining

__all__ = ["Identity", "check_identity", "identity_of", "vocoder_identity"]

Identity = dict[str, Any]
MAY_GROW = ("recipe.training.epochs", "recipe.training.patience")


def identity_of(recipe: Recipe, speakers: Sequence[str], recordings: str, weights: str) -> Identity:
    """Everything that decides the result of a fine-tune, as plain values: a checkpoint stores it.

    Args:
        recipe: The recipe.
        speakers: The speakers, in the order of the logits.
        recordings: The fingerprint of the corpus.
        weights: The fingerprint of the initial weights.
    """
    identity = {
        "recipe": recipe.to_plain(),
        "speakers": list(speakers),
        "recordings": recordings,
        "initial weights": weights,
    }
    plain: Identity = json.loads(json.dumps(identity))  # as it is read back from a checkpoint
    return plain


def vocoder_identity(recipe: Recipe, settings: VocoderTraining, recordings: str, weights: str) -> Identity:
    """Everything that decides the result of a vocoder's training, as plain values.

    Args:
        recipe: The recipe.
        settings: The settings of the training, which the recipe may leave out.
        recordings: The fingerprint of the corpus.
        weights: The fingerprint of the initial weights.
    """
    identity = {
        "vocoder": recipe.to_plain().get("vocoder"),
        "vocoder_training": settings.model_dump(mode="json"),
        "recordings": recordings,
        "initial weights": weights,
        **({"pitch": recipe.to_plain()["pitch"]} if recipe.pitch else {}),
        **({"freezing": recipe.freezing.parts["vocoder"].model_dump()} if "vocoder" in recipe.freezing.parts else {}),
    }
    plain: Identity = json.loads(json.dumps(identity))
    return plain


def check_identity(before: Mapping[str, Any], now: Mapping[str, Any], place: Path) -> None:
    """Check that a fine-tune can go on with what it is given now.

    Args:
        before: The identity that it was started with, from `identity_of`.
        now: The identity to go on with. It may have more epochs and more patience.
        place: The checkpoint or run, for the message.

    Raises:
        RunError: Something else differs; the message names each difference.
    """
    old, new = _flat(before), _flat(now)
    faults = []
    for key in [*old, *(key for key in new if key not in old)]:
        was, is_now = old.get(key), new.get(key)
        name = key.removeprefix("recipe.")
        if was == is_now or (key in MAY_GROW and was is not None and is_now is not None and is_now > was):
            continue
        if name in {"recordings", "initial weights"}:
            faults.append(f"other {name}")
        elif key in MAY_GROW:
            faults.append(f"{name} was {was} and can only grow, not become {is_now}")
        else:
            faults.append(f"{name} was {_shown(was)}, now {_shown(is_now)}")
    if faults:
        growing = " (more training.epochs are allowed)" if MAY_GROW[0] in new else ""
        raise RunError(
            f"{place} was started with other settings or data: {'; '.join(faults)}. Resume with the same ones"
            f"{growing}, or choose another --out"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        flat |= _flat(value, f"{key}.") if isinstance(value, Mapping) and value else {key: value}
    return flat


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
