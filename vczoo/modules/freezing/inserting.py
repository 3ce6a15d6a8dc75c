"""Base of the freezing strategies that insert small modules into a part, and train only these.

A run that is trained so stores only what changed, beside the name of the run that it was tuned from.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from vczoo.errors import ContractError
from vczoo.modules.interfaces.freezing import Freezing, StagedPart
from vczoo.modules.nn.inserted import Inserted, layer_of, merge_changes

__all__ = ["LARGEST", "Inserting", "Layer"]

LARGEST = 4096  # rank of a low-rank matrix, and width of a bottleneck


class Layer(NamedTuple):
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

    def places(self, part: StagedPart) -> Iterator[Layer]:
        """Yield all layers that could be changed."""
        for index, stage in enumerate(part.stages()):
            for name, module in stage.module.named_modules(prefix=stage.name):
                if layer_of(module) is not None and self.fits(module):
                    yield Layer(index, name, module)

    def fits(self, layer: nn.Module) -> bool:
        """Return whether a layer can be changed."""
        return True

    @abstractmethod
    def insert(self, layer: nn.Module) -> None:
        """Insert a module into a layer."""

    def _chosen(self, part: StagedPart) -> Iterator[Layer]:
        for layer in self.places(part):
            if self.layers is None or any(fnmatchcase(layer.name, pattern) for pattern in self.layers):
                yield layer
