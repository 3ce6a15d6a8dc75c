"""A collector of faults, so that one error reports all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vczoo.errors import RecipeError, VczooError

__all__ = ["Problems"]


class Problems:
    """Faults of a recipe, in the order in which they were found.

        problems = Problems()
        with problems.at("vocoder", passing=WeightsError):
            vocoder = part.make(context)
        problems.raise_if_any(recipe.name)

    Attributes:
        faults: The faults, one sentence or more each, which begin with the key that they are about.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.faults)

    @contextmanager
    def at(self, place: str, *, passing: type[VczooError] | tuple[type[VczooError], ...] = ()) -> Iterator[None]:
        """Context manager that records a `VczooError` or an `ImportError` as a fault, and ends the block.

        Args:
            place: Key in the recipe that the block is about.
            passing: Types of errors that are raised instead of recorded.
        """
        try:
            yield
        except passing:
            raise
        except (VczooError, ImportError) as error:
            self.faults.append(f"{place}: {error}")

    def raise_if_any(self, recipe: str) -> None:
        """Raise RecipeError if there are faults. Its message lists all of them.

        Args:
            recipe: Name of the recipe, for the message.
        """
        if self.faults:
            raise RecipeError(recipe, self.faults)
