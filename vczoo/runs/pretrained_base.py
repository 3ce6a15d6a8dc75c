"""A model in; what a run says of its pretrained base, and how a base differs from that, out.

Tensors go by their names in `Model.tensors`; a stage's key is `backbone.<stage>`, or `vocoder` for a whole vocoder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from vczoo.errors import WeightsError
from vczoo.io.tensors import fingerprint_of
from vczoo.models.model import Model, stage_of
from vczoo.runs.config import BasePart

__all__ = ["PLACES", "Place", "check_base", "describe_base", "stages_taken"]

Place = Literal["backbone", "vocoder"]
PLACES: tuple[Place, ...] = ("backbone", "vocoder")


def stages_taken(base: Mapping[Place, BasePart]) -> dict[str, str]:
    """The fingerprint of each stage of which a run leaves something to the base, by its key."""
    return {
        place if place == "vocoder" else f"{place}.{stage}": fingerprint
        for place, part in base.items()
        for stage, fingerprint in part.stages.items()
    }


def describe_base(model: Model, known: Mapping[Place, BasePart], left: Collection[str]) -> dict[Place, BasePart]:
    """What a run says of its base: where the weights came from, and what each stage was.

    Args:
        known: what is known already of a run that was read.
        left: names of the tensors that the run leaves to the base.
    """
    found: dict[Place, BasePart] = {}
    asked = {stage_of(name) for name in left}
    prints = {key: value for key, value in _fingerprints(model.base).items() if key in asked}
    for place in PLACES:
        stages = {key.removeprefix("backbone."): value for key, value in prints.items() if key.startswith(place)}
        part = getattr(model, place)
        origin = getattr(part, "origin", None)
        old = known.get(place)
        if origin and not (old and (old.source, old.revision) == (origin.source, origin.revision) and old.files):
            old = BasePart(
                source=origin.source, revision=origin.revision, licence=origin.licence, files=dict(origin.sha256)
            )
        if old or stages:
            found[place] = (old or BasePart()).model_copy(update={"stages": stages})
    return found


def check_base(base: Mapping[Place, BasePart], model: Model) -> None:
    """Check that the pretrained weights which a model was built on are those that a run was trained from.

    Raises:
        WeightsError: a stage is missing, or is not what it was.
    """
    wanted, found = stages_taken(base), _fingerprints(model.base)
    if unknown := sorted(set(wanted) - set(found)):
        raise WeightsError(f"stages {', '.join(unknown)} are said to be the base's, which has no such stages")
    if changed := [key for key, fingerprint in wanted.items() if found[key] != fingerprint]:
        sources = ", ".join(part.source for part in base.values() if part.source) or "not known"
        raise WeightsError(
            f"the pretrained weights are not those it was trained from (source: {sources}): "
            f"stages {', '.join(changed)} differ. Give the file or the revision that it was trained with"
        )


def _fingerprints(digests: Mapping[str, str]) -> dict[str, str]:
    """Of each stage, from the digests of its tensors."""
    stages: dict[str, dict[str, str]] = {}
    for name, digest in digests.items():
        key = stage_of(name)
        stages.setdefault(key, {})[name.removeprefix(f"{key}.")] = digest
    return {key: fingerprint_of(own) for key, own in stages.items()}
