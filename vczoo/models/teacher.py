"""The teacher of a recipe: a backbone that only training uses."""

from __future__ import annotations

from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError, WeightsError
from vczoo.io.problems import Problems
from vczoo.models.model import Model
from vczoo.models.part_options import CheckedPart, build_part
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.backbone import Backbone

__all__ = ["build_teacher"]


def build_teacher(recipe: Recipe, model: Model) -> Backbone | None:
    """Build the backbone that a model's frame heads learn from; return None if the model has no frame heads.

    Args:
        recipe: The recipe, which names the teacher.
        model: The model that was built from the recipe.

    Raises:
        RecipeError: The teacher has faults, does not have the channels of the frame heads, or is missing. The message
            lists all faults.
        WeightsError: The teacher's weights are unavailable or do not fit.
    """
    problems = Problems()
    problems.faults += teacher_faults(recipe, model)
    problems.raise_if_any(recipe.name)
    if recipe.teacher is None:
        return None

    def build(part: CheckedPart) -> Backbone:
        teacher: Backbone = part.make({})
        check_teacher(model, teacher.spec)
        return teacher

    teacher = build_part(recipe, "teacher", "backbone", recipe.teacher, build, passing=WeightsError)
    return teacher.eval().requires_grad_(False)


def check_teacher(model: Model, spec: FrameSpec) -> None:
    """Check that the frame heads have as many channels as the teacher.

    Raises:
        ContractError: A frame head has a different number of channels.
    """
    for name, head in model.frame_heads.items():
        if head.channels != spec.channels:
            raise ContractError(
                f"heads.{name} has {head.channels} channels, but the teacher has {spec.channels}; "
                f"set heads.{name}.channels={spec.channels}"
            )


def teacher_faults(recipe: Recipe, model: Model) -> list[str]:
    """Faults of a recipe that has frame heads without a teacher, or a teacher without frame heads."""
    if recipe.teacher is None and model.frame_heads:
        name = next(iter(model.frame_heads))
        return [f"heads.{name}: it learns from a teacher, but this recipe has none; name a backbone as teacher.use"]
    if recipe.teacher is not None and not model.frame_heads:
        return ["teacher: no head of this recipe learns from it; add one (distil), or remove the teacher"]
    return []
