"""Freezing strategies that train selected stages, modules or parameters of a part, as it is."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from vczoo.errors import ContractError
from vczoo.io.text import nearest
from vczoo.modules.freezing.stages import None_
from vczoo.modules.interfaces.freezing import Freezing, StagedPart, named_parameters

__all__ = ["BitFit", "FilmOnly", "Norms", "Selected"]

CONDITIONED = ("film", "adain", "conditional", "cond_")  # beginnings of the names of layers that a condition steers

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


class _Few(None_):
    """Training of some parameters of each module, by their names; everything else is frozen, dropout too."""

    small = True
    what = ""  # that trains, for messages

    def bind(self, part: StagedPart) -> None:
        """Check that the part has such parameters.

        Raises:
            ContractError: It has none, so nothing would train.
        """
        names = [name for name, _ in named_parameters(part)]
        if not any(map(self.trains_parameter, names)):
            raise ContractError(
                f"{self.what}, but this part has none, so nothing would train; its parameters have names such as "
                f"{', '.join(names[:3]) or '(none)'}. Choose another strategy for it"
            )

    def trains(self, module: nn.Module) -> bool:
        """Return whether a module has parameters of its own."""
        return any(True for _ in module.parameters(recurse=False))


class BitFit(_Few):
    """Training of the biases only. A BatchNorm whose bias trains updates its running statistics, too.

    Source: BitFit, arXiv:2106.10199.
    """

    what = "bitfit trains biases"

    def trains_parameter(self, name: str) -> bool:
        """Return whether a parameter is a bias."""
        return name.rpartition(".")[2].endswith("bias")


class FilmOnly(_Few):
    """Training of what a condition adds to gains and shifts: the biases of FiLM layers and of conditional norms.

    With one target voice, the condition is the same for every recording. A change of such a layer's weights then only
    adds a constant to its output, as a change of its biases does with 1 / 128 of the parameters. For many voices at
    once, use `selected` with `parameters: ["*.film.*"]`.

    These layers are recognized by their names, which begin with film, adain, conditional or cond_.

    Source: FiLM, arXiv:1709.07871; the training of conditional norms only follows AdaSpeech, arXiv:2103.00993.
    """

    what = "film-only trains the biases of layers called film, adain, conditional… or cond_…"

    def trains_parameter(self, name: str) -> bool:
        """Return whether a parameter is a bias of such a layer."""
        places = name.lower().split(".")
        return places[-1].endswith("bias") and any(place.startswith(CONDITIONED) for place in places[:-1])
