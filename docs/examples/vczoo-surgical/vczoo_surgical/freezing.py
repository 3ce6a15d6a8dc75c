"""`Surgical`: a number of stages in; a learning-rate multiplier a stage out."""

from __future__ import annotations

from collections.abc import Sequence

import vczoo

__all__ = ["Surgical"]


class Surgical(vczoo.Freezing):
    """The named stages train, and no others: surgical fine-tuning, arXiv:2210.11466.

    Where what a network hears differs from what it learnt from at the input, a mel for a photograph, its first stages
    have most to learn, and those after them can stay as they are.

    Args:
        stages: which ones train, from 0 at the input; -1 is the last.

    Raises:
        ContractError: there is none, or one stands there twice.
    """

    def __init__(self, stages: Sequence[int] = (0,)) -> None:
        if not stages or len(set(stages)) < len(stages):
            raise vczoo.ContractError(f"stages are one or more, each once, as in [0, 1]; got {list(stages)}")
        self.stages = tuple(stages)

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """1 for the stages that are named, 0 for the others.

        Raises:
            ContractError: the backbone has no such stage.
        """
        if absent := [stage for stage in self.stages if not -num_stages <= stage < num_stages]:
            raise vczoo.ContractError(
                f"the backbone has {num_stages} stages, 0 to {num_stages - 1} (or -1 to {-num_stages}), "
                f"and none that is {absent[0]}"
            )
        chosen = {stage % num_stages for stage in self.stages}
        return tuple(float(stage in chosen) for stage in range(num_stages))
