"""The processes that train together, through Accelerate: who this one is, and what only one of them may do."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import Tensor, distributed, nn

from vczoo.errors import VczooError

__all__ = ["DistributedContext", "Precision"]

Precision = Literal["auto", "float32", "bf16", "fp16"]
T = TypeVar("T")

PATIENCE = timedelta(days=1)  # one process may hear an hour of speech, or enrol, while the others wait for it


class DistributedContext:
    """This process among those that train a model together; usually it is alone.

    Started by `accelerate launch` (or `vczoo train --processes`) there are several, each on its own device.

    Args:
        device: where a process that is alone computes; Accelerate chooses for those of a team.
        precision: of the forward pass; auto is bfloat16 on a GPU that has it, else float32.
        sharded: whether each process holds a part of every parameter that trains (FSDP) rather than all of them
            (DDP); so, too, where `accelerate launch` was told to.

    Raises:
        VczooError: fp16 is asked for on a CPU.
    """

    def __init__(self, device: torch.device, precision: Precision = "auto", *, sharded: bool = False) -> None:
        if precision == "auto":
            gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
            precision = "bf16" if gains else "float32"
        if precision == "fp16" and device.type == "cpu":
            raise VczooError("training.precision=fp16 is for a GPU; on a CPU choose float32 or bf16")
        # Parameters of a head that a batch does not reach (a speaker head, of strangers) must not hang the others.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        # The settings, and the device, of a training before this one in the same process.
        AcceleratorState._reset_state(reset_partial_state=not distributed.is_initialized())
        self.accelerator = Accelerator(
            cpu=device.type == "cpu",
            device_placement=False,
            mixed_precision="no" if precision == "float32" else precision,
            kwargs_handlers=[unused, InitProcessGroupKwargs(timeout=PATIENCE)],
            step_scheduler_with_optimizer=False,
        )
        if self.accelerator.num_processes > 1:
            atexit.unregister(_leave)
            atexit.register(_leave)
        asked = sharded or self.accelerator.distributed_type == DistributedType.FSDP
        self.sharded = asked and self.accelerator.num_processes > 1
        self.device = self.accelerator.device if self.accelerator.num_processes > 1 else device

    @property
    def rank(self) -> int:
        """Of this process."""
        return int(self.accelerator.process_index)

    @property
    def processes(self) -> int:
        """How many there are."""
        return int(self.accelerator.num_processes)

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and speaks."""
        return bool(self.accelerator.is_main_process)

    def on_main_process(self, action: Callable[[], T]) -> T | None:
        """Let the leader do something while the others wait; an error of it is everybody's.

        Returns:
            What came of it; None for the others.
        """
        if self.processes == 1:
            return action()
        result, told = None, [""]
        error: BaseException | None = None
        if self.is_main_process:
            try:
                result = action()
            except BaseException as caught:
                error, told = caught, [f"{type(caught).__name__}: {caught}"]
        broadcast_object_list(told)
        if error is not None:
            raise error
        if told[0]:
            raise VczooError(f"the first process stopped: {told[0]}")
        return result

    def agreed(self, value: T) -> T:
        """The leader's value, for all."""
        values = [value]
        if self.processes > 1:
            broadcast_object_list(values)
        return values[0]

    def anybody(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.processes == 1:
            return flag
        raised = torch.tensor([float(flag)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(raised, "sum") > 0)

    def everything(self, own: list[Any]) -> list[Any]:
        """The lists of all processes, one after the other."""
        return own if self.processes == 1 else list(gather_object(own))

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as this team runs it: in its precision, with gradients averaged."""
        if self.sharded:  # its parts are wrapped already
            return module
        prepared: nn.Module = self.accelerator.prepare_model(module)
        return prepared

    def clip(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        """Bring the gradients of all together to a norm of at most this."""
        own = [parameter for parameter in parameters if parameter.grad is not None]
        if self.sharded:
            self.accelerator.unscale_gradients()
            nn.utils.clip_grad_norm_(own, norm)
        else:
            self.accelerator.clip_grad_norm_(own, norm)

    def seed(self, seed: int) -> None:
        """Seed torch where this process computes. `torch.manual_seed` would see to devices that nobody uses, slowly."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def level(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the leader's: running statistics, which each has of its own items."""
        for tensor in tensors if self.processes > 1 else ():
            if tensor.is_floating_point() or tensor.dtype == torch.int64:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Wait for the others."""
        self.accelerator.wait_for_everyone()


def _leave() -> None:
    """End the group of processes while Python still runs: its threads abort a process that ends without."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
