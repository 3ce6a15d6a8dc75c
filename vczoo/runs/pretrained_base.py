"""Pretrained base of a run: the record of its weights, and the check that a model was built on the same ones.

Tensors have the names of `Model.tensors`. The key of a stage is `backbone.<stage>`, or `vocoder` for a whole vocoder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from vczoo.errors import WeightsError
from vczoo.io.tensors import fingerprint_of
from vczoo.models.model import Model
from vczoo.models.multi_task import stage_of
from vczoo.runs.config import BasePart

__all__ = ["PLACES", "Place", "check_base", "describe_base", "stages_taken"]

Place = Literal["backbone", "vocoder"]
PLACES: tuple[Place, ...] = ("backbone", "vocoder")


def stages_taken(base: Mapping[Place, BasePart]) -> dict[str, str]:
    """Return the fingerprint of each stage whose tensors the run takes, at least in part, from the base, by key."""
    return {
        place if place == "vocoder" else f"{place}.{stage}": fingerprint
        for place, part in base.items()
        for stage, fingerprint in part.stages.items()
    }


def describe_base(model: Model, known: Mapping[Place, BasePart], left: Collection[str]) -> dict[Place, BasePart]:
    """Describe the pretrained base of a run: the origin of the weights and the fingerprint of each stage taken.

    Args:
        model: The model of the run.
        known: The description that was read with the run, if it was loaded. It is kept for a part whose weights have no
            origin of their own, or the same one.
        left: Names of the tensors that the run does not store but takes from the base.
    """
    base: dict[Place, BasePart] = {}
    needed = {stage_of(name) for name in left}
    fingerprints = {key: value for key, value in _fingerprints(model.base).items() if key in needed}
    for place in PLACES:
        stages = {key.removeprefix("backbone."): value for key, value in fingerprints.items() if key.startswith(place)}
        part = getattr(model, place)
        origin = getattr(part, "origin", None)
        old = known.get(place)
        if origin and not (old and (old.source, old.revision) == (origin.source, origin.revision) and old.files):
            old = BasePart(
                source=origin.source, revision=origin.revision, licence=origin.licence, files=dict(origin.sha256)
            )
        if old or stages:
            base[place] = (old or BasePart()).model_copy(update={"stages": stages})
    return base


def check_base(base: Mapping[Place, BasePart], model: Model) -> None:
    """Check that `model` was built on the pretrained weights that the run was trained from.

    Args:
        base: The pretrained parts as the run's configuration describes them.
        model: A model built on the pretrained weights.

    Raises:
        WeightsError: A stage is missing from the base, or its fingerprint differs.
    """
    expected, actual = stages_taken(base), _fingerprints(model.base)
    if missing := sorted(set(expected) - set(actual)):
        raise WeightsError(
            f"the run takes the stages {', '.join(missing)} from the pretrained base, but the base has no such stages"
        )
    if changed := [key for key, fingerprint in expected.items() if actual[key] != fingerprint]:
        sources = ", ".join(part.source for part in base.values() if part.source) or "unknown"
        raise WeightsError(
            "the pretrained weights are not the ones that the run was trained from: "
            f"stages {', '.join(changed)} differ. Provide the original file or revision (source: {sources})"
        )


def _fingerprints(digests: Mapping[str, str]) -> dict[str, str]:
    """Compute the fingerprint of each stage from the digests of its tensors."""
    stages: dict[str, dict[str, str]] = {}
    for name, digest in digests.items():
        key = stage_of(name)
        stages.setdefault(key, {})[name.removeprefix(f"{key}.")] = digest
    return {key: fingerprint_of(tensors) for key, tensors in stages.items()}
