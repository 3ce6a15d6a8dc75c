"""The optimizers are torch's, without what only torch.compile needs."""

from __future__ import annotations

import pytest
import torch

from vczoo.training.distributed import DistributedContext
from vczoo.training.optimizer import _Adam, _AdamW


@pytest.mark.parametrize(("ours", "theirs"), [(_Adam, torch.optim.Adam), (_AdamW, torch.optim.AdamW)])
def test_steps_are_those_of_torch_and_a_state_can_be_taken_up(ours: type, theirs: type) -> None:
    weights, states = [], []
    for optimizer_type in (ours, theirs):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(3, 4))
        optimizer = optimizer_type([{"params": [weight]}], lr=0.1, fused=True)
        for _ in range(2):
            for _ in range(3):
                optimizer.zero_grad()
                (weight**2).sum().backward()
                optimizer.step()
            state = optimizer.state_dict()
            optimizer = optimizer_type([{"params": [weight]}], lr=0.5, fused=True)
            optimizer.load_state_dict(state)
        weights.append(weight.detach())
        states.append(state)
    assert torch.equal(*weights)
    assert states[0]["param_groups"] == states[1]["param_groups"]
    assert all(torch.equal(states[0]["state"][0][name], value) for name, value in states[1]["state"][0].items())


def test_one_process_in_single_precision_needs_no_wrapper() -> None:
    optimizer = _Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    assert DistributedContext(torch.device("cpu"), "float32").prepare(optimizer) is optimizer
