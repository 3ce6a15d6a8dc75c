"""Changes of the weights of layers that have few parameters, and are merged into the weights in the end."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from vczoo.errors import ContractError
from vczoo.modules.freezing.inserting import LARGEST, Inserting
from vczoo.modules.nn.inserted import InputScale, Inserted, LowRank, LowRankDirection, change_weight

__all__ = ["IA3", "DoRA", "LoRA", "WeightChanges"]


class WeightChanges(Inserting):
    """Training of changes that are inserted into the weights of layers."""

    def insert(self, layer: nn.Module) -> None:
        """Insert a change into the weight of a layer."""
        change_weight(layer, self.change_of(layer.get_parameter("weight")))

    @abstractmethod
    def change_of(self, weight: Tensor) -> Inserted:
        """Return a new change of a weight, which leaves it as it is at first."""


class LoRA(WeightChanges):
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


class IA3(WeightChanges):
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
