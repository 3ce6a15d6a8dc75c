"""Freezing strategies for the parts of a model, and the function that applies one.

A strategy decides in each epoch which parameters of a part train, and at which learning rate. Frozen modules stay in
eval mode. A backbone has stages; any other part, such as a head, is one stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from vczoo.errors import ContractError
from vczoo.io.text import nearest
from vczoo.modules.interfaces.freezing import Freezing, HoldsFrozen, Stage, StagedPart

__all__ = [
    "Discriminative",
    "Full",
    "Gradual",
    "None_",
    "Norms",
    "OneStage",
    "Partial",
    "ProbeThenTune",
    "Selected",
    "apply_freezing",
]


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


def _checked_epochs(name: str, epochs: int) -> int:
    if not 1 <= epochs <= 100_000:
        raise ContractError(f"{name} must be 1 to 100000, got {epochs}")
    return epochs


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


class Norms(None_):
    """Training of the normalization layers only, including their running statistics.

    Source: "Training BatchNorm and Only BatchNorm", arXiv:2003.00152.
    """

    small = True

    def bind(self, part: StagedPart) -> None:
        """Check that the part has normalization layers.

        Raises:
            ContractError: It has none with parameters, so nothing would train.
        """
        modules = [module for stage in part.stages() for module in stage.module.modules()]
        if not any(self.trains(module) and any(True for _ in module.parameters()) for module in modules):
            raise ContractError(
                "norms trains normalization layers, but this part has none with parameters, so nothing would train; "
                "choose another strategy, such as partial or bitfit"
            )

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


class Selected(Freezing):
    """Training of selected stages or parameters only; everything else is frozen.

    Source: the choice of a stage follows surgical fine-tuning, arXiv:2210.11466.

    Args:
        stages: Stages that train, by name or index; 0 is the first stage and -1 the last. None means all.
        parameters: Shell patterns of the parameters that train in these stages. A parameter's name begins with that of
            its stage: `layer4.0.bn1.bias` matches `*.bias` and `layer4.*`. None means all. A module of which no
            parameter matches is frozen, with its statistics and its dropout.

    Raises:
        ContractError: Neither stages nor parameters are given, or one of the lists is empty.
    """

    def __init__(self, stages: list[int | str] | None = None, parameters: list[str] | None = None) -> None:
        if stages is None and parameters is None:
            raise ContractError(
                "select what trains: stages, by name or index as in [layer4, -1], or patterns of parameters as in "
                "['*.bias']"
            )
        for name, values in (("stages", stages), ("parameters", parameters)):
            if values is not None and not values:
                raise ContractError(f"{name} is empty, so nothing would train; leave it out, or use the strategy full")
        self.stages = None if stages is None else tuple(stages)
        self.parameters = None if parameters is None else tuple(parameters)
        self._bound: tuple[float, ...] | None = None

    def bind(self, part: StagedPart) -> None:
        """Find the stages that train.

        Raises:
            ContractError: The backbone has no such stage, or no parameter of these stages matches a pattern.
        """
        stages = part.stages()
        chosen = self._indices([stage.name for stage in stages])
        names = {
            index: [f"{stages[index].name}.{name}" for name, _ in stages[index].module.named_parameters()]
            for index in chosen
        }
        for pattern in self.parameters or ():
            if not any(fnmatchcase(name, pattern) for stage_names in names.values() for name in stage_names):
                some = [stage_names[0] for stage_names in names.values() if stage_names][:3]
                raise ContractError(
                    f"no parameter of the stages {', '.join(stages[index].name for index in chosen)} matches "
                    f"{pattern!r}; their parameters have names such as {', '.join(some)}"
                )
        # A stage without parameters trains if it is selected itself: it may draw at random in training.
        trained = {
            i for i in chosen if (not self.parameters and not names[i]) or any(map(self.trains_parameter, names[i]))
        }
        self._bound = tuple(float(index in trained) for index in range(len(stages)))

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for the stages of which something trains, or which are selected and have no parameters; else 0.

        Raises:
            ContractError: There is no such stage, or stages have names and `bind` was not called.
        """
        if self._bound is not None and len(self._bound) == num_stages:
            return self._bound
        if any(isinstance(stage, str) for stage in self.stages or ()):
            raise ContractError("stages are selected by name; call bind with the backbone first")
        chosen = self._indices([str(index) for index in range(num_stages)])
        return tuple(float(index in chosen) for index in range(num_stages))

    def trains(self, module: nn.Module) -> bool:
        """Return whether a module may train; with patterns, only one that has parameters."""
        return self.parameters is None or any(True for _ in module.parameters(recurse=False))

    def trains_parameter(self, name: str) -> bool:
        """Return whether a parameter's name matches one of the patterns."""
        return self.parameters is None or any(fnmatchcase(name, pattern) for pattern in self.parameters)

    def _indices(self, names: Sequence[str]) -> list[int]:
        """The selected stages, in the order of the backbone."""
        count = len(names)
        chosen: set[int] = set()
        for stage in range(count) if self.stages is None else self.stages:
            if isinstance(stage, str) and stage in names:
                chosen.add(names.index(stage))
            elif isinstance(stage, int) and -count <= stage < count:
                chosen.add(stage % count)
            else:
                hint = nearest(stage, names) if isinstance(stage, str) else "."
                raise ContractError(
                    f"the backbone has no stage {stage!r}{hint} Its {count} stages: {', '.join(names)}; "
                    f"by index 0 to {count - 1}, or -{count} to -1"
                )
        return sorted(chosen)


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


def _counted(num_stages: int) -> str:
    return "the part is one stage" if num_stages == 1 else f"the backbone has {num_stages} stages"
