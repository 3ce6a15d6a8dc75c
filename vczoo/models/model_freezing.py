"""`ModelFreezing`: the freezing strategy of each part of a model.

The backbone always has one. A head without one trains whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from vczoo.errors import ContractError
from vczoo.models.model import Model
from vczoo.modules.freezing.apply import OneStage, apply_freezing
from vczoo.modules.freezing.stages import Full
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.freezing import Freezing, StagedPart

__all__ = ["ModelFreezing", "check_vocoder_is_frozen"]


class ModelFreezing:
    """The freezing strategies of a model's parts.

    Args:
        backbone: The strategy of the backbone.
        heads: The strategies of heads, by the name of the head. All other heads train whole.
        vocoder: The strategy of the vocoder, which only the training of a vocoder uses; None to train it whole.
    """

    def __init__(
        self, backbone: Freezing, heads: Mapping[str, Freezing] | None = None, vocoder: Freezing | None = None
    ) -> None:
        self.backbone, self.heads, self.vocoder = backbone, dict(heads or {}), vocoder

    def __repr__(self) -> str:
        names = [f"{name}: {type(strategy).__name__}" for name, strategy in self.strategies.items()]
        return f"<ModelFreezing {', '.join(names)}>"

    @property
    def strategies(self) -> dict[str, Freezing]:
        """The strategies by the name of the part: `backbone`, or that of a head."""
        return {"backbone": self.backbone, **self.heads}

    @property
    def penalizes(self) -> bool:
        """Whether a strategy may add a term to the loss."""
        return any(type(strategy).penalty is not Freezing.penalty for strategy in self.strategies.values())

    def is_small(self, model: Model) -> bool:
        """Whether what trains is small beside the model, so that a run can store it without its base."""
        chosen = all(strategy.small or isinstance(strategy, Full) for strategy in self.strategies.values())
        return chosen and set(self.heads) == set(model.heads)

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return the learning-rate multipliers of the backbone's stages in an epoch."""
        return self.backbone.multipliers(num_stages, epoch)

    def head_multipliers(self, epoch: int) -> dict[str, float]:
        """Return the multiplier of each head that has a strategy: 0 if it is frozen in an epoch."""
        return {name: strategy.multipliers(1, epoch)[0] for name, strategy in self.heads.items()}

    def distinct_epochs(self, num_stages: int, epochs: int) -> list[int]:
        """Return the epochs that differ in what trains: one of each kind."""
        distinct = {
            (self.multipliers(num_stages, epoch), *self.head_multipliers(epoch).items()): epoch
            for epoch in range(epochs)
        }
        return sorted(distinct.values())

    def bind(self, model: Model) -> None:
        """Let each strategy read its part.

        Raises:
            ContractError: A strategy does not fit its part, or nothing of the model would ever train although a
                strategy was chosen for each head.
        """
        for name, strategy, part in self._parts(model):
            try:
                strategy.bind(part)
                strategy.multipliers(len(part.stages()), 0)
            except ContractError as error:
                raise ContractError(f"{name}: {error}" if self.heads else str(error)) from error
        if set(self.heads) == set(model.heads) and all(isinstance(each, Full) for each in self.strategies.values()):
            raise ContractError("every part is frozen, so nothing would train; choose another strategy for one of them")

    def prepare(self, model: Model) -> None:
        """Let each strategy change its part before training, for example by adding adapters."""
        for _, strategy, part in self._parts(model):
            strategy.prepare(part)

    def insert_lasting(self, model: Model) -> None:
        """Insert the modules that stay in a model after training, such as adapters, as a run's model has them."""
        for _, strategy, part in self._parts(model):
            if strategy.stays:
                strategy.prepare(part)

    def finish(self, model: Model) -> None:
        """Let each strategy undo what `prepare` did."""
        for _, strategy, part in self._parts(model):
            strategy.finish(part)

    def apply(self, model: Model, epoch: int) -> tuple[float, ...]:
        """Set which parameters of the model train in an epoch, and keep frozen modules in eval mode.

        Returns:
            The learning-rate multipliers of the backbone's stages.

        Raises:
            ContractError: A strategy returns wrong multipliers.
        """
        multipliers = [apply_freezing(part, strategy, epoch) for _, strategy, part in self._parts(model)]
        return multipliers[0]

    def start_epoch(self, epoch: int) -> None:
        """Let strategies that adapt decide what trains from now on."""
        for strategy in self.strategies.values():
            strategy.start_epoch(epoch)

    def states(self) -> nn.ModuleDict:
        """Return what checkpoints keep of strategies that adapt, by the name of the part."""
        states = {name: strategy.state for name, strategy in self.strategies.items()}
        return nn.ModuleDict({name: state for name, state in states.items() if state is not None})

    def penalty(self, model: Model) -> Tensor | None:
        """Return the sum of the strategies' terms of the training loss; None if there are none."""
        terms = [term for _, strategy, part in self._parts(model) if (term := strategy.penalty(part)) is not None]
        return sum(terms[1:], terms[0]) if terms else None

    def _parts(self, model: Model) -> Iterator[tuple[str, Freezing, Backbone | StagedPart]]:
        """Yield the name, strategy and part of each strategy, the backbone's first."""
        yield "backbone", self.backbone, model.backbone
        heads = model.heads_for()
        for name, strategy in self.heads.items():
            yield name, strategy, OneStage(name, heads[name])


def check_vocoder_is_frozen(freezing: ModelFreezing) -> None:
    """Check that the vocoder's strategy, if there is one, is `full`, because fine-tuning never trains the vocoder.

    Raises:
        ContractError: It is another one.
    """
    if freezing.vocoder and not isinstance(freezing.vocoder, Full):
        raise ContractError(
            "fine-tuning leaves the vocoder as its base pins it, so only `full` is possible here; "
            "`vczoo train-vocoder` trains a vocoder"
        )
