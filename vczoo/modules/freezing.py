"""Freezing strategies for the backbone, and the function that applies one.

A strategy decides in each epoch which parameters of the backbone train, and at which learning rate. Frozen modules stay
in eval mode.
"""

from __future__ import annotations

from torch import nn

from vczoo.errors import ContractError
from vczoo.modules.interfaces.backbone import Backbone, Freezing

__all__ = ["Discriminative", "Full", "Gradual", "None_", "Norms", "Partial", "apply_freezing"]


class None_(Freezing):  # noqa: N801  (`None` is taken)
    """No freezing: every stage trains at the full learning rate."""

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for every stage."""
        return (1.0,) * num_stages


class Full(Freezing):
    """Full freezing: the whole backbone is frozen, and only the heads train."""

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 0 for every stage."""
        return (0.0,) * num_stages


class Partial(Freezing):
    """Partial freezing: the last stages train, and the stages before them are frozen.

    Args:
        trainable_stages: Number of stages that train, counted from the last one.

    Raises:
        ContractError: trainable_stages is negative.
    """

    def __init__(self, trainable_stages: int = 1) -> None:
        if trainable_stages < 0:
            raise ContractError(f"trainable_stages must be 0 or more, got {trainable_stages}")
        self.trainable_stages = trainable_stages

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for the last `trainable_stages` stages and 0 for the others.

        Raises:
            ContractError: The backbone has fewer stages.
        """
        if self.trainable_stages > num_stages:
            raise ContractError(
                f"trainable_stages is {self.trainable_stages}, but the backbone has {num_stages} stages; "
                f"choose 0 to {num_stages}"
            )
        return (0.0,) * (num_stages - self.trainable_stages) + (1.0,) * self.trainable_stages


class Gradual(Freezing):
    """Gradual unfreezing: only the heads train at first, then the stages join one by one, the last stage first.

    Source: gradual unfreezing in ULMFiT, arXiv:1801.06146.

    Args:
        every_epochs: Number of epochs from one unfrozen stage to the next.

    Raises:
        ContractError: every_epochs is below 1.
    """

    def __init__(self, every_epochs: int = 1) -> None:
        if every_epochs < 1:
            raise ContractError(f"every_epochs must be 1 or more, got {every_epochs}")
        self.every_epochs = every_epochs

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for the last `epoch // every_epochs` stages and 0 for the others."""
        return Partial(min(epoch // self.every_epochs, num_stages)).multipliers(num_stages, epoch)


class Discriminative(Freezing):
    """Discriminative learning rates: every stage trains, each slower than the stage after it.

    Source: discriminative fine-tuning in ULMFiT, arXiv:1801.06146, which uses a decay of 2.6.

    Args:
        decay: Factor between the learning rates of a stage and of the stage before it, at least 1.

    Raises:
        ContractError: decay is below 1.
    """

    def __init__(self, decay: float = 2.6) -> None:
        if not decay >= 1:
            raise ContractError(f"decay must be 1 or more, got {decay}")
        self.decay = decay

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for the last stage, 1 / decay for the stage before it, and so on."""
        return tuple(self.decay ** (index + 1 - num_stages) for index in range(num_stages))


class Norms(None_):
    """Training of the normalization layers only, including their running statistics.

    Source: "Training BatchNorm and Only BatchNorm", arXiv:2003.00152.
    """

    def trains(self, module: nn.Module) -> bool:
        """Return whether `module` is a normalization layer."""
        name = type(module).__name__.lower()
        return isinstance(module, _NORMS) or ("norm" in name and not any(module.children()))


_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.modules.instancenorm._InstanceNorm,
)


def apply_freezing(backbone: Backbone, strategy: Freezing, epoch: int) -> tuple[float, ...]:
    """Set which parameters of a backbone train in an epoch, and keep its frozen modules in eval mode.

    Args:
        backbone: The backbone, which is changed in place.
        strategy: The freezing strategy.
        epoch: Number of the epoch, counted from 0.

    Returns:
        One learning-rate multiplier per stage. It is 0 if no parameter of the stage trains.

    Raises:
        ContractError: The strategy returns a negative multiplier, or not exactly one per stage.
    """
    stages = backbone.stages()
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
        for module in stage.module.modules():
            own = list(module.parameters(recurse=False))
            trains = strategy.trains(module)
            for parameter in own:
                parameter.requires_grad_(trains)
            if not trains and not any(module.children()):
                frozen.append(module)
        parameters = list(stage.module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            applied[-1] = 0.0
            frozen.append(stage.module)
    backbone.hold(frozen)
    return tuple(applied)
