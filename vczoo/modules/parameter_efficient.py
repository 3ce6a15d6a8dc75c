"""Freezing strategies that train few parameters of a part, or small modules that they insert into it.

A run that is trained so stores only what changed, beside the name of the run that it was tuned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import Tensor, nn

from vczoo.errors import ContractError
from vczoo.modules.freezing import None_
from vczoo.modules.interfaces.freezing import Freezing, StagedPart
from vczoo.modules.nn.inserted import (
    InputScale,
    Inserted,
    LowRank,
    LowRankDirection,
    change_weight,
    insert_bottleneck,
    layer_of,
    merge_changes,
)

__all__ = ["IA3", "L2SP", "Adapters", "BitFit", "DoRA", "FilmOnly", "Inserting", "LoRA"]

LARGEST = 4096  # rank of a low-rank matrix, and width of a bottleneck
CONDITIONED = ("film", "adain", "conditional", "cond_")  # beginnings of the names of layers that a condition steers


class _Few(None_):
    """Training of some parameters of each module, by their names; everything else is frozen, dropout too."""

    small = True
    what = ""  # that trains, for messages

    def bind(self, part: StagedPart) -> None:
        """Check that the part has such parameters.

        Raises:
            ContractError: It has none, so nothing would train.
        """
        if not any(self.trains_parameter(name) for name in _parameters(part)):
            raise ContractError(
                f"{self.what}, but this part has none, so nothing would train; its parameters have names such as "
                f"{', '.join(_parameters(part)[:3]) or '(none)'}. Choose another strategy for it"
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


class _Layer(NamedTuple):
    """A layer of a stage.

    Attributes:
        stage: Index of the stage.
        name: Name of the layer, after that of its stage.
        module: The layer.
    """

    stage: int
    name: str
    module: nn.Module


class Inserting(Freezing):
    """Training of inserted modules only.

    Args:
        layers: Shell patterns of the layers that are changed; None means all that can be. A layer's name begins with
            that of its stage, as in `layer4.0.conv1`, or with that of its head, as in `voice.decoder.enter`.

    Raises:
        ContractError: `layers` is empty.
    """

    small = True
    what = ""  # that is changed, for messages

    def __init__(self, layers: list[str] | None = None) -> None:
        if layers is not None and not layers:
            raise ContractError("layers is empty, so nothing would train; leave it out, or use the strategy full")
        self.layers = layers
        self._bound: tuple[float, ...] | None = None

    def bind(self, part: StagedPart) -> None:
        """Find the stages with layers to change.

        Raises:
            ContractError: There are none, or none whose name matches a pattern.
        """
        possible = list(self.places(part))
        if not possible:
            raise ContractError(
                f"{self.what}, but this part has no place for them, so nothing would train; choose another strategy"
            )
        for pattern in self.layers or ():
            if not any(fnmatchcase(layer.name, pattern) for layer in possible):
                names = [layer.name for layer in possible]
                raise ContractError(
                    f"no layer that could be changed matches {pattern!r}; their names are such as "
                    f"{', '.join(names[:: max(1, len(names) // 3)][:3])}"
                )
        stages = {layer.stage for layer in self._chosen(part)}
        self._bound = tuple(float(index in stages) for index in range(len(part.stages())))

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for the stages with layers to change, 0 for the others."""
        return self._bound if self._bound and len(self._bound) == num_stages else (1.0,) * num_stages

    def trains(self, module: nn.Module) -> bool:
        """Return whether a module was inserted."""
        return isinstance(module, Inserted)

    def prepare(self, part: StagedPart) -> None:
        """Insert the modules. The part's output is the same up to rounding.

        They are drawn from torch's global random state.
        """
        for layer in list(self._chosen(part)):
            self.insert(layer.module)

    def finish(self, part: StagedPart) -> None:
        """Merge the changes of weights into them."""
        for stage in part.stages():
            merge_changes(stage.module)
        part.hold(())  # what was held in eval mode may no longer exist

    def places(self, part: StagedPart) -> Iterator[_Layer]:
        """Yield all layers that could be changed."""
        for index, stage in enumerate(part.stages()):
            for name, module in stage.module.named_modules(prefix=stage.name):
                if layer_of(module) is not None and self.fits(module):
                    yield _Layer(index, name, module)

    def fits(self, layer: nn.Module) -> bool:
        """Return whether a layer can be changed."""
        return True

    def insert(self, layer: nn.Module) -> None:
        """Insert a module into a layer."""
        change_weight(layer, self.change_of(layer.get_parameter("weight")))

    def change_of(self, weight: Tensor) -> Inserted:
        """Return a new change of a weight, which leaves it as it is at first.

        Raises:
            ContractError: The strategy inserts other modules.
        """
        raise ContractError(f"{type(self).__name__} does not change weights")

    def _chosen(self, part: StagedPart) -> Iterator[_Layer]:
        for layer in self.places(part):
            if self.layers is None or any(fnmatchcase(layer.name, pattern) for pattern in self.layers):
                yield layer


class LoRA(Inserting):
    """Low-rank matrices that are added to the weights of linear layers and convolutions, and merged in the end.

    Layers for which they would not be smaller than the weight are left as they are.

    Source: LoRA, arXiv:2106.09685.

    Args:
        rank: Rank of the matrices, which have rank * (outputs + inputs * kernel) parameters for each layer.
        alpha: Scale: the matrices' product is multiplied by alpha / rank.
        layers: Shell patterns of the layers that are changed, as in `["voice.decoder.blocks.*"]`; None means all.

    Raises:
        ContractError: rank is not 1 to 4096, alpha is not above 0 and at most 1000, or `layers` is empty.
    """

    what = "this strategy adds low-rank matrices to linear layers and convolutions"
    change: type[LowRank] = LowRank

    def __init__(self, rank: int = 8, alpha: float = 16.0, layers: list[str] | None = None) -> None:
        super().__init__(layers)
        if not 1 <= rank <= LARGEST:
            raise ContractError(f"rank must be 1 to {LARGEST}, got {rank}")
        if not 0 < alpha <= 1000:
            raise ContractError(f"alpha must be above 0 and at most 1000, got {alpha}")
        self.rank, self.alpha = rank, alpha

    def fits(self, layer: nn.Module) -> bool:
        """Return whether the matrices are smaller than the layer's weight."""
        weight = layer.get_parameter("weight")
        rows, count = weight.shape[0], weight.numel()
        return self.rank * (rows + count // rows) < count

    def change_of(self, weight: Tensor) -> Inserted:
        """Return new low-rank matrices for a weight."""
        return self.change(weight, self.rank, self.alpha)


class DoRA(LoRA):
    """As `LoRA`, and a magnitude for each output, by which the direction of its weights is multiplied.

    Source: DoRA, arXiv:2402.09353.
    """

    change = LowRankDirection


class IA3(Inserting):
    """One factor for each input channel of linear layers and convolutions, merged into the weights in the end.

    Grouped and transposed convolutions are left as they are.

    Source: (IA)3, arXiv:2205.05638. It scales keys, values and the inner activations of feed-forward layers; here the
    input of each layer is scaled, in any architecture.

    Args:
        layers: As for `LoRA`.

    Raises:
        ContractError: `layers` is empty.
    """

    what = "ia3 scales the input channels of linear layers and convolutions"

    def fits(self, layer: nn.Module) -> bool:
        """Return whether the columns of the layer's weight are input channels."""
        return not getattr(layer, "transposed", False) and getattr(layer, "groups", 1) == 1

    def change_of(self, weight: Tensor) -> Inserted:
        """Return new factors for a weight."""
        return InputScale(weight)


class Adapters(Inserting):
    """Bottleneck adapters after the last layer of each block; everything else is frozen. They stay in the model.

    The blocks are the items of the lists of modules in a stage or head; without a list, the stage is one block.

    Source: arXiv:1902.00751, whose second adapter in each transformer layer is at the same place.

    Args:
        width: Number of channels of a bottleneck.
        layers: As for `LoRA`.

    Raises:
        ContractError: width is not 1 to 4096, or `layers` is empty.
    """

    what = "adapters follow linear layers and convolutions"
    stays = True

    def __init__(self, width: int = 16, layers: list[str] | None = None) -> None:
        super().__init__(layers)
        if not 1 <= width <= LARGEST:
            raise ContractError(f"width must be 1 to {LARGEST}, got {width}")
        self.width = width

    def places(self, part: StagedPart) -> Iterator[_Layer]:
        """Yield the last layer of each block."""
        for index, stage in enumerate(part.stages()):
            for prefix, block in _blocks(stage.name, stage.module):
                # Attention reads the weights of its last layer without calling it.
                layers = [
                    _Layer(index, name, module)
                    for name, module in block.named_modules(prefix=prefix)
                    if layer_of(module) is not None
                    and not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)
                ]
                yield from layers[-1:]

    def insert(self, layer: nn.Module) -> None:
        """Insert an adapter after a layer."""
        insert_bottleneck(layer, self.width)


class L2SP(None_):
    """Training of everything, with a pull to the weights at the start: half of alpha times the squared distance.

    Source: L2-SP, arXiv:1802.01483.

    Args:
        alpha: Strength of the pull. The paper tries 0.01 to 1.

    Raises:
        ContractError: alpha is not above 0 and at most 1000.
    """

    def __init__(self, alpha: float = 0.1) -> None:
        if not 0 < alpha <= 1000:
            raise ContractError(f"alpha must be above 0 and at most 1000, got {alpha}")
        self.alpha = alpha
        self._start: dict[str, Tensor] = {}

    def prepare(self, part: StagedPart) -> None:
        """Remember the weights at the start."""
        self._start = {name: value.detach().clone() for name, value in _named_parameters(part)}

    def finish(self, part: StagedPart) -> None:
        """Forget the weights at the start."""
        self._start = {}

    def penalty(self, part: StagedPart) -> Tensor | None:
        """Return half of alpha times the squared distance of the weights from those at the start."""
        terms = [
            (value - self._start[name].to(value.device)).square().sum()
            for name, value in _named_parameters(part)
            if name in self._start and value.requires_grad
        ]
        return self.alpha / 2 * sum(terms[1:], terms[0]) if terms else None


def _named_parameters(part: StagedPart) -> Iterator[tuple[str, nn.Parameter]]:
    for stage in part.stages():
        yield from stage.module.named_parameters(prefix=stage.name)


def _parameters(part: StagedPart) -> list[str]:
    return [name for name, _ in _named_parameters(part)]


def _blocks(prefix: str, module: nn.Module) -> Sequence[tuple[str, nn.Module]]:
    """The items of the outermost lists in a module, by name; the module itself if it has none."""
    lists: list[tuple[str, nn.Module]] = []

    def search(name: str, inner: nn.Module) -> None:
        if isinstance(inner, nn.ModuleList):
            lists.extend((f"{name}.{index}", item) for index, item in enumerate(inner))
            return
        for child_name, child in inner.named_children():
            search(f"{name}.{child_name}", child)

    search(prefix, module)
    return lists or [(prefix, module)]
