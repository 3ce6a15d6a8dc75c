"""Interface of freezing strategies, and of the parts of a model that they freeze."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple, Protocol, Self

from torch import Tensor, nn

__all__ = ["Freezing", "HoldsFrozen", "Stage", "StagedPart", "named_parameters"]


class Stage(NamedTuple):
    """One stage of a backbone: a name, and a module that maps an activation to the next one."""

    name: str
    module: nn.Module


class StagedPart(Protocol):
    """A part of a model as a freezing strategy sees it.

    A backbone has one stage per step of its computation. Every other part, such as a head or a vocoder, is one stage,
    which has the part's name.
    """

    def stages(self) -> tuple[Stage, ...]:
        """Return the stages from input to output; at least one."""

    def hold(self, frozen: Sequence[nn.Module]) -> None:
        """Keep these modules in eval mode, now and after every later call of `train()`."""


def named_parameters(part: StagedPart) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters of a part by name. A name begins with that of the parameter's stage: `layer4.0.bn1.bias`."""
    for stage in part.stages():
        yield from stage.module.named_parameters(prefix=stage.name)


class HoldsFrozen(nn.Module):
    """Module that keeps its frozen modules in eval mode: their BatchNorm statistics would drift, for example."""

    _frozen: tuple[nn.Module, ...] = ()

    def hold(self, frozen: Sequence[nn.Module]) -> None:
        """Keep these modules in eval mode, now and after every later call of `train()`."""
        self._frozen = tuple(frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the training mode, but keep frozen modules in eval mode."""
        if any(module is self for module in self._frozen):
            return super().train(False)
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


class Freezing(ABC):
    """Freezing strategy: decides in each epoch what of a part trains, and at which learning rate.

    The part is a backbone, with its stages, or any other part of a model as one stage.

    Attributes:
        small: Whether what this strategy trains is small beside the part, so that a run stores it without the weights
            that it was tuned from.
        stays: Whether modules that `prepare` inserts stay in the model after `finish`, because they cannot be merged
            into its weights.
        adapts: Whether what trains depends on how the training goes, so that stages may freeze that have trained.
    """

    small: ClassVar[bool] = False
    stays: ClassVar[bool] = False
    adapts: ClassVar[bool] = False

    @property
    def state(self) -> nn.Module | None:
        """What a checkpoint keeps of a strategy that adapts, as buffers; None, the default, for nothing."""
        return None

    def bind(self, part: StagedPart) -> None:  # noqa: B027  (a hook that few strategies need)
        """Read from the part what the strategy depends on, such as the names of its stages. Do not change it.

        Called before all other methods, also when a recipe is checked. Does nothing by default. Raise `ContractError`
        if the strategy does not fit the part, for example because nothing would train.
        """

    def prepare(self, part: StagedPart) -> None:  # noqa: B027
        """Change the part before training, for example by adding adapters. Does nothing by default."""

    def finish(self, part: StagedPart) -> None:  # noqa: B027
        """Undo what `prepare` did and merge its effect into the weights, so that a run has ordinary stages.

        Does nothing by default.
        """

    def start_epoch(self, epoch: int) -> None:  # noqa: B027
        """Decide what trains from now on, in a strategy that adapts. Called before each epoch that trains.

        A resumed epoch calls it again. Does nothing by default.
        """

    @abstractmethod
    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return one learning-rate multiplier per stage, from input to output; 0 freezes the stage.

        The multiplier of a part other than the backbone only says whether it trains.

        Args:
            num_stages: Number of stages of the part.
            epoch: Number of the epoch, counted from 0.
        """

    def trains(self, module: nn.Module) -> bool:
        """Return whether a module of a stage that is not frozen trains. All of them do by default."""
        return True

    def trains_parameter(self, name: str) -> bool:
        """Return whether a parameter of a module that trains does. All of them do by default.

        Args:
            name: Name of the parameter, after that of its stage: `layer4.0.bn1.bias`.
        """
        return True

    def penalty(self, part: StagedPart) -> Tensor | None:
        """Return a term that is added to the training loss; None, the default, for no term."""
        return None
