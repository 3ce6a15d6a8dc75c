"""Bottleneck adapters after the blocks of a part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from vczoo.errors import ContractError
from vczoo.modules.freezing.inserting import LARGEST, Inserting, Layer
from vczoo.modules.interfaces.freezing import StagedPart
from vczoo.modules.nn.inserted import insert_bottleneck, layer_of

__all__ = ["Adapters"]


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

    def places(self, part: StagedPart) -> Iterator[Layer]:
        """Yield the last layer of each block."""
        for index, stage in enumerate(part.stages()):
            for prefix, block in _blocks(stage.name, stage.module):
                # Attention reads the weights of its last layer without calling it.
                layers = [
                    Layer(index, name, module)
                    for name, module in block.named_modules(prefix=prefix)
                    if layer_of(module) is not None
                    and not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)
                ]
                yield from layers[-1:]

    def insert(self, layer: nn.Module) -> None:
        """Insert an adapter after a layer."""
        insert_bottleneck(layer, self.width)


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
