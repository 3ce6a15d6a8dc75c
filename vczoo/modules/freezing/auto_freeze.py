"""AutoFreeze: stages freeze, from the input on, as their gradients settle."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from vczoo.errors import ContractError
from vczoo.modules.interfaces.freezing import Freezing, StagedPart

__all__ = ["AutoFreeze"]


class AutoFreeze(Freezing):
    """Training of all stages at first; the first ones freeze as they settle, and their outputs are cached from then on.

    After each epoch, a stage is compared by how much the norm of its gradients changed, relative to the epoch before.
    From the first stage on, stages freeze until one changed more than the given percentile of those that train. The
    last stage never freezes.

    Source: AutoFreeze, arXiv:2102.01386. The norm here is the root of the summed squares of an epoch's gradients.

    Args:
        percentile: Percentile of the changes, above 0 and below 100, up to which a stage has settled.

    Raises:
        ContractError: percentile is out of range.
    """

    adapts = True

    def __init__(self, percentile: float = 50.0) -> None:
        if not 0 < percentile < 100:
            raise ContractError(f"percentile must be above 0 and below 100, got {percentile:g}")
        self.percentile = percentile
        self._state: _State | None = None

    @property
    def state(self) -> nn.Module | None:
        """The norms of the gradients and the number of frozen stages; None before `prepare`."""
        return self._state

    def bind(self, part: StagedPart) -> None:
        """Check that there is a stage that can freeze before the last one.

        Raises:
            ContractError: The part is one stage.
        """
        if len(part.stages()) < 2:
            raise ContractError("autofreeze freezes the stages of a backbone one by one, but this part is one stage")

    def prepare(self, part: StagedPart) -> None:
        """Begin to sum up the squares of the gradients."""
        self._state = state = _State(len(part.stages()))
        for index, stage in enumerate(part.stages()):
            for parameter in stage.module.parameters():
                if parameter.requires_grad:
                    hook = parameter.register_hook(partial(state.add, index))  # type: ignore[no-untyped-call]
                    state.hooks.append(hook)

    def finish(self, part: StagedPart) -> None:
        """Stop summing up gradients."""
        for hook in self._state.hooks if self._state else ():
            hook.remove()

    def start_epoch(self, epoch: int) -> None:
        """Freeze the stages that have settled."""
        if self._state:
            self._state.settle(epoch, self.percentile)

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """Return 0 for the stages that have settled so far, 1 for the others."""
        frozen = int(self._state.frozen) if self._state else 0
        return (0.0,) * min(frozen, num_stages - 1) + (1.0,) * (num_stages - min(frozen, num_stages - 1))


class _State(nn.Module):
    """What decides about freezing, as buffers, so that checkpoints have it and all processes get the same."""

    frozen: Tensor
    decided: Tensor
    before: Tensor
    squares: Tensor

    def __init__(self, num_stages: int) -> None:
        super().__init__()
        self.hooks: list[torch.utils.hooks.RemovableHandle] = []
        self.register_buffer("frozen", torch.tensor(0))
        self.register_buffer("decided", torch.tensor(0))  # the last epoch that was started
        self.register_buffer("before", torch.zeros(num_stages))  # norms of the epoch before
        self.register_buffer("squares", torch.zeros(num_stages))  # of this epoch's gradients

    def add(self, index: int, gradient: Tensor) -> None:
        """Add the squares of a gradient of a stage."""
        self.squares[index] += gradient.detach().float().square().sum().to(self.squares.device)

    def settle(self, epoch: int, percentile: float) -> None:
        """Freeze stages before an epoch, once."""
        if epoch <= int(self.decided):  # the first one, or one that is resumed
            return
        norms, first = self.squares.sqrt(), int(self.frozen)
        if bool((self.before[first:] > 0).any()):
            changes = ((norms - self.before).abs() / self.before.clamp(min=1e-12))[first:]
            settled = changes <= torch.quantile(changes, percentile / 100)
            count = int(settled.long().cumprod(dim=0).sum())
            self.frozen.fill_(min(first + count, len(norms) - 1))
        self.before.copy_(norms)
        self.squares.zero_()
        self.decided.fill_(epoch)
