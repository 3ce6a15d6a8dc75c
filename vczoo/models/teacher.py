"""The teacher of a recipe: a backbone that only training uses."""

from __future__ import annotations

from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError, RecipeError, WeightsError
from vczoo.models.model import Model
from vczoo.models.part_options import check_part, run_check
from vczoo.models.recipe import Recipe
from vczoo.modules.interfaces.backbone import Backbone

__all__ = ["build_teacher"]


def build_teacher(recipe: Recipe, model: Model) -> Backbone | None:
    """Build the backbone that a model's heads of frames learn from; None where it has no such heads.

    Args:
        recipe: that names it.
        model: that was built from the recipe.

    Raises:
        RecipeError: with every fault of it; heads of frames have none, or it is of other channels than they.
        WeightsError: its weights cannot be had or do not fit.
    """
    faults = teacher_faults(recipe, model)
    if faults:
        raise RecipeError(recipe.name, faults)
    if recipe.teacher is None:
        return None
    ready = check_part(faults, "teacher", "backbone", recipe.teacher)
    teacher: Backbone | None = run_check(faults, "teacher", lambda: ready.make({}), (WeightsError,)) if ready else None
    if teacher:
        run_check(faults, "teacher", lambda: check_teacher(model, teacher.spec))
    if teacher is None or faults:
        raise RecipeError(recipe.name, faults)
    return teacher.eval().requires_grad_(False)


def check_teacher(model: Model, spec: FrameSpec) -> None:
    """See that heads of frames were made for the teacher that there is.

    Raises:
        ContractError: one has another number of channels.
    """
    for name, head in model.frame_heads.items():
        if head.channels != spec.channels:
            raise ContractError(
                f"heads.{name} has {head.channels} channels and the teacher {spec.channels}; "
                f"give heads.{name}.channels={spec.channels}"
            )


def teacher_faults(recipe: Recipe, model: Model) -> list[str]:
    """Heads of frames without a teacher, or a teacher without heads of frames."""
    if recipe.teacher is None and model.frame_heads:
        name = next(iter(model.frame_heads))
        return [f"heads.{name}: it learns from a teacher, and this recipe has none; name a backbone as teacher.use"]
    if recipe.teacher is not None and not model.frame_heads:
        return ["teacher: no head of this recipe learns from it; add one (distil), or leave the teacher out"]
    return []
