"""What is this strategy's own: which stages train, and what it refuses."""

import pytest
import vczoo

from vczoo_surgical.freezing import Surgical


def test_worked_numbers() -> None:
    assert Surgical().multipliers(3, 0) == (1.0, 0.0, 0.0)
    assert Surgical([1, -1]).multipliers(4, 7) == (0.0, 1.0, 0.0, 1.0)


def test_a_stage_that_is_not_there() -> None:
    with pytest.raises(vczoo.ContractError, match="the backbone has 3 stages, 0 to 2 .* and none that is 3"):
        Surgical([0, 3]).multipliers(3, 0)


@pytest.mark.parametrize("stages", [[], [1, 1]])
def test_no_stage_or_one_twice(stages: list[int]) -> None:
    with pytest.raises(vczoo.ContractError, match="stages are one or more, each once"):
        Surgical(stages)
