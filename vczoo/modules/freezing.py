"""The freezing strategies, and applying one to a backbone: which parameters train, how fast, what is in eval mode."""

from __future__ import annotations

from torch import nn

from vczoo.errors import ContractError
from vczoo.modules.interfaces.backbone import Backbone, Freezing

__all__ = ["Discriminative", "Full", "Gradual", "None_", "Norms", "Partial", "apply_freezing"]


class None_(Freezing):  # noqa: N801  (`None` is taken)
    """Nothing is frozen: every stage trains at the full rate."""

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """All 1."""
        return (1.0,) * num_stages


class Full(Freezing):
    """The whole backbone is frozen; the heads alone train."""

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """All 0."""
        return (0.0,) * num_stages


class Partial(Freezing):
    """The last `trainable_stages` stages train; those before them are frozen.

    Raises:
        ContractError: trainable_stages is negative.
    """

    def __init__(self, trainable_stages: int = 1) -> None:
        if trainable_stages < 0:
            raise ContractError(f"trainable_stages is 0 or more, got {trainable_stages}")
        self.trainable_stages = trainable_stages

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """0 for the first stages, 1 for the last `trainable_stages`."""
        trainable = min(self.trainable_stages, num_stages)
        return (0.0,) * (num_stages - trainable) + (1.0,) * trainable


class Gradual(Freezing):
    """Heads alone at first, then one more stage, from the last backwards, every `every_epochs` epochs.

    Source: gradual unfreezing in ULMFiT, arXiv:1801.06146.

    Raises:
        ContractError: every_epochs is below 1.
    """

    def __init__(self, every_epochs: int = 1) -> None:
        if every_epochs < 1:
            raise ContractError(f"every_epochs is 1 or more, got {every_epochs}")
        self.every_epochs = every_epochs

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """`epoch // every_epochs` stages train."""
        return Partial(epoch // self.every_epochs).multipliers(num_stages, epoch)


class Discriminative(Freezing):
    """Every stage trains, each `decay` times slower than the one after it.

    Source: discriminative fine-tuning in ULMFiT, arXiv:1801.06146, which uses 2.6.

    Raises:
        ContractError: decay is below 1.
    """

    def __init__(self, decay: float = 2.6) -> None:
        if not decay >= 1:
            raise ContractError(f"decay is 1 or more, got {decay}")
        self.decay = decay

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """1 for the last stage, 1 / decay for the one before it, and so on."""
        return tuple(self.decay ** (index + 1 - num_stages) for index in range(num_stages))


class Norms(None_):
    """Only the normalisation layers train, their running statistics included.

    Source: "Training BatchNorm and Only BatchNorm", arXiv:2003.00152.
    """

    def trains(self, module: nn.Module) -> bool:
        """Whether this is a normalisation layer."""
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
    """Set which parameters of a backbone train in this epoch, and hold what is frozen in eval mode.

    Returns:
        One learning-rate multiplier a stage; 0 where nothing of the stage trains.

    Raises:
        ContractError: the strategy gives another number of multipliers than there are stages, or a negative one.
    """
    stages = backbone.stages()
    multipliers = strategy.multipliers(len(stages), epoch)
    if len(multipliers) != len(stages) or any(not value >= 0 for value in multipliers):
        raise ContractError(
            f"{type(strategy).__name__} gives multipliers {multipliers} for {len(stages)} stages; "
            "one a stage, each 0 or more, was expected"
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
