"""L2-SP: training of everything, with a pull to the weights at the start."""

from __future__ import annotations

from torch import Tensor

from vczoo.errors import ContractError
from vczoo.modules.freezing.stages import None_
from vczoo.modules.interfaces.freezing import StagedPart, named_parameters

__all__ = ["L2SP"]


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
        self._start = {name: value.detach().clone() for name, value in named_parameters(part)}

    def finish(self, part: StagedPart) -> None:
        """Forget the weights at the start."""
        self._start = {}

    def penalty(self, part: StagedPart) -> Tensor | None:
        """Return half of alpha times the squared distance of the weights from those at the start."""
        terms = [
            (value - self._start[name].to(value.device)).square().sum()
            for name, value in named_parameters(part)
            if name in self._start and value.requires_grad
        ]
        return self.alpha / 2 * sum(terms[1:], terms[0]) if terms else None
