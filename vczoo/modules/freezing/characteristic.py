"""Characteristic-specific partial tuning: only the layers with the most and the least of a characteristic train."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vczoo.errors import ContractError
from vczoo.modules.backbones.layer_mix import MIX, LayerMix, WeightedSum
from vczoo.modules.interfaces.freezing import Freezing, StagedPart

__all__ = ["CharacteristicSpecific"]


class CharacteristicSpecific(Freezing):
    """Training of two layers of a backbone: those that contribute most and least to what the heads learn.

    For some epochs only the weights of `layer: mix` train, with the heads, such as a speaker head. They say how much
    each layer contributes. Then the layers with the largest and the smallest weight train, and everything else of the
    backbone is frozen, the weights too: one holds most of the characteristic, and the other has the most to learn.

    Source: CSP-FT, arXiv:2501.14273, which analyzes the layers of a text-to-speech language model for emotion and
    speaker. There the analysis is a training of its own; here it is the first epochs.

    Args:
        probe_epochs: Number of epochs in which only the weights of the mix train.

    Raises:
        ContractError: probe_epochs is below 1, or above 100,000.
    """

    adapts = True

    def __init__(self, probe_epochs: int = 4) -> None:
        if not 1 <= probe_epochs <= 100_000:
            raise ContractError(f"probe_epochs must be 1 to 100000, got {probe_epochs}")
        self.probe_epochs = probe_epochs
        self._layers: range = range(0)
        self._mix: WeightedSum | None = None
        self._state = _Chosen()

    @property
    def state(self) -> nn.Module | None:
        """The layers that were chosen."""
        return self._state

    def bind(self, part: StagedPart) -> None:
        """Find the layers of the mix.

        Raises:
            ContractError: The part is not a backbone with `layer: mix`.
        """
        if not isinstance(part, LayerMix):
            raise ContractError(
                "characteristic-specific chooses two layers by the weights of `layer: mix`, and this part has none; "
                f"set backbone.layer={MIX}, or choose another strategy"
            )
        count = len(part.stages()) - 1
        self._layers = range(count - len(part.layer_names), count)

    def prepare(self, part: StagedPart) -> None:
        """Remember the mix, whose weights choose the layers."""
        self._mix = part.mix if isinstance(part, LayerMix) else None

    def start_epoch(self, epoch: int) -> None:
        """Choose the layers once the weights have trained.

        Raises:
            ContractError: The weights have not moved.
        """
        if epoch < self.probe_epochs or self._mix is None or self._state.chosen_layers():
            return
        weights = self._mix.weights()
        if bool((weights == weights[0]).all()):
            raise ContractError(
                f"the weights of the layers are equal after {epoch} epochs, so no two layers can be chosen; train a "
                "head with it, and do not shard the model"
            )
        first = self._layers.start
        self._state.chosen.copy_(torch.tensor([first + int(weights.argmax()), first + int(weights.argmin())]))

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 1 for the mix in the first epochs, then for the chosen layers, or before the choice for all."""
        if epoch < self.probe_epochs:
            return (0.0,) * (num_stages - 1) + (1.0,)
        trained = self._state.chosen_layers() or self._layers
        return tuple(float(index in trained) for index in range(num_stages))


class _Chosen(nn.Module):
    """The indices of the chosen stages, as a buffer, so that checkpoints have them; -1 before the choice."""

    chosen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("chosen", torch.tensor([-1, -1]))

    def chosen_layers(self) -> tuple[int, ...]:
        """Return the chosen stages; () before the choice."""
        return tuple(index for index in self.chosen.tolist() if index >= 0)
