"""Application of a freezing strategy to a part of a model, before each epoch.

Frozen modules stay in eval mode. A backbone has stages; any other part, such as a head, is one stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from vczoo.errors import ContractError
from vczoo.modules.interfaces.freezing import Freezing, HoldsFrozen, Stage, StagedPart

__all__ = ["OneStage", "apply_freezing"]


class OneStage:
    """A part of a model other than the backbone, as a freezing strategy sees it.

    Args:
        name: Name of the part, such as `voice`; the names of its parameters begin with it.
        module: The head or vocoder.
    """

    def __init__(self, name: str, module: HoldsFrozen) -> None:
        self.name, self.module = name, module

    def stages(self) -> tuple[Stage, ...]:
        """Return the whole part as one stage."""
        return (Stage(self.name, self.module),)

    def hold(self, frozen: Sequence[nn.Module]) -> None:
        """Keep these modules in eval mode, now and after every later call of `train()`."""
        self.module.hold(frozen)


def apply_freezing(part: StagedPart, strategy: Freezing, epoch: int) -> tuple[float, ...]:
    """Set which parameters of a part train in an epoch, and keep its frozen modules in eval mode.

    Args:
        part: The backbone, or another part as `OneStage`. It is changed in place.
        strategy: The freezing strategy.
        epoch: Number of the epoch, counted from 0.

    Returns:
        One learning-rate multiplier per stage. It is 0 if no parameter of the stage trains.

    Raises:
        ContractError: The strategy returns a negative multiplier, or not exactly one per stage.
    """
    stages = part.stages()
    multipliers = strategy.multipliers(len(stages), epoch)
    if len(multipliers) != len(stages) or any(not value >= 0 for value in multipliers):
        raise ContractError(
            f"{type(strategy).__name__}.multipliers must return one multiplier per stage, each 0 or more; "
            f"got {multipliers} for {len(stages)} stages"
        )
    frozen: list[nn.Module] = []
    applied: list[float] = []
    for stage, multiplier in zip(stages, multipliers, strict=True):
        applied.append(multiplier)
        if multiplier == 0:
            frozen.append(stage.module)
            stage.module.requires_grad_(False)
            continue
        for place, module in stage.module.named_modules(prefix=stage.name):
            own = dict(module.named_parameters(recurse=False))
            trains = strategy.trains(module)
            for name, parameter in own.items():
                parameter.requires_grad_(trains and strategy.trains_parameter(f"{place}.{name}"))
            learns = trains and (not own or any(parameter.requires_grad for parameter in own.values()))
            if not learns and not any(module.children()):
                frozen.append(module)
        parameters = list(stage.module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            applied[-1] = 0.0
            frozen.append(stage.module)
    part.hold(frozen)
    return tuple(applied)
