"""A step of training: what it must not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import vczoo
from vczoo.training import trainable_model as loop
from vczoo.training.step import train_step

LOOKS = {
    torch.ops.aten._local_scalar_dense.default,  # int(), float(), bool(), .item(), .tolist()
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.is_nonzero.default,
}


class Blind(TorchDispatchMode):
    """Refuses operations whose outcome the processor must know before it goes on: on a GPU it would wait."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = func is torch.ops.aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        assert func not in LOOKS, f"{func} looks at a value"
        assert not masks, "a boolean index looks at a value"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("freezing", ["full", "partial", "none"])
def test_no_step_looks_at_a_value(
    tmp_path: Path, voices_folder: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, freezing: str
) -> None:
    steps = []

    def blind(*args: Any) -> dict[str, torch.Tensor]:
        with Blind():
            figures = train_step(*args)
        steps.append(figures)
        return figures

    with Blind(), pytest.raises(AssertionError, match="looks at a value"):
        int(torch.ones(2).max())
    monkeypatch.setattr(loop, "train_step", blind)
    settings = [*small, f"freezing.use={freezing}", "training.epochs=2"]
    vczoo.finetune("demo", voices_folder, tmp_path / "run", settings, progress=False)
    assert len(steps) > 4
