"""Freezing strategies by stage and epoch: which stages of a part train, and how fast."""

from __future__ import annotations

from vczoo.errors import ContractError
from vczoo.modules.interfaces.freezing import Freezing

__all__ = ["Discriminative", "Full", "Gradual", "None_", "Partial", "ProbeThenTune"]


class None_(Freezing):  # noqa: N801  (`None` is taken)
    """No freezing: every stage trains at the full learning rate."""

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for every stage."""
        return (1.0,) * num_stages


class Full(Freezing):
    """Full freezing: the whole part is frozen."""

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
                f"trainable_stages is {self.trainable_stages}, but {_counted(num_stages)}; choose 0 to {num_stages}"
            )
        return (0.0,) * (num_stages - self.trainable_stages) + (1.0,) * self.trainable_stages


class Gradual(Freezing):
    """Gradual unfreezing: only the heads train at first, then the stages join one by one, the last stage first.

    Source: gradual unfreezing in ULMFiT, arXiv:1801.06146.

    Args:
        every_epochs: Number of epochs from one unfrozen stage to the next.

    Raises:
        ContractError: every_epochs is below 1, or above 100,000.
    """

    def __init__(self, every_epochs: int = 1) -> None:
        self.every_epochs = _checked_epochs("every_epochs", every_epochs)

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for the last `epoch // every_epochs` stages and 0 for the others."""
        return Partial(min(epoch // self.every_epochs, num_stages)).multipliers(num_stages, epoch)


class ProbeThenTune(Freezing):
    """Linear probing, then fine-tuning: the part is frozen for some epochs, while the heads train, and then trains too.

    Heads that fit already do not distort pretrained features with the gradients of their random beginning.

    Source: LP-FT, arXiv:2202.10054.

    Args:
        probe_epochs: Number of epochs in which the part is frozen.

    Raises:
        ContractError: probe_epochs is below 1, or above 100,000.
    """

    def __init__(self, probe_epochs: int = 4) -> None:
        self.probe_epochs = _checked_epochs("probe_epochs", probe_epochs)

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 0 for every stage in the first epochs, then 1."""
        return (float(epoch >= self.probe_epochs),) * num_stages


class Discriminative(Freezing):
    """Discriminative learning rates: every stage trains, each slower than the stage after it.

    Source: discriminative fine-tuning in ULMFiT, arXiv:1801.06146, which uses a decay of 2.6.

    Args:
        decay: Factor between the learning rates of a stage and of the stage before it, 1 to 1000.

    Raises:
        ContractError: decay is below 1 or above 1000.
    """

    def __init__(self, decay: float = 2.6) -> None:
        if not 1 <= decay <= 1000:
            raise ContractError(f"decay must be 1 to 1000, got {decay}")
        self.decay = decay

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for the last stage, 1 / decay for the stage before it, and so on."""
        return tuple(self.decay ** (index + 1 - num_stages) for index in range(num_stages))


def _checked_epochs(name: str, epochs: int) -> int:
    if not 1 <= epochs <= 100_000:
        raise ContractError(f"{name} must be 1 to 100000, got {epochs}")
    return epochs


def _counted(num_stages: int) -> str:
    return "the part is one stage" if num_stages == 1 else f"the backbone has {num_stages} stages"
