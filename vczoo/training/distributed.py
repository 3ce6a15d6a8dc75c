"""Distributed training through Accelerate: ranks, the main process, and communication between processes."""

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

PATIENCE = timedelta(days=1)  # one process may encode an hour of speech, or enroll voices, while the others wait


class DistributedContext:
    """This process and the others that train the same model. Usually there is only this one.

    `accelerate launch` (or `vczoo train --processes`) starts several, each on its own device.

    Args:
        device: The device of a single process. Accelerate chooses the devices of several.
        precision: The precision of the forward pass; auto is bfloat16 on a GPU that supports it, else float32.
        sharded: Whether each process holds only a part of every trained parameter (FSDP) rather than all of them (DDP).
            It is also true if `accelerate launch` was configured for FSDP.

    Raises:
        VczooError: fp16 is requested on a CPU.
    """

    def __init__(self, device: torch.device, precision: Precision = "auto", *, sharded: bool = False) -> None:
        if precision == "auto":
            gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
            precision = "bf16" if gains else "float32"
        if precision == "fp16" and device.type == "cpu":
            raise VczooError("training.precision=fp16 is for a GPU; on a CPU choose float32 or bf16")
        # A batch may skip a head (unknown speakers skip the speaker head), which must not make the others hang.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        # Forget the settings and the device of an earlier training in the same process.
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
        requested = sharded or self.accelerator.distributed_type == DistributedType.FSDP
        self.sharded = requested and self.accelerator.num_processes > 1
        self.device = self.accelerator.device if self.accelerator.num_processes > 1 else device

    @property
    def rank(self) -> int:
        """The index of this process."""
        return int(self.accelerator.process_index)

    @property
    def processes(self) -> int:
        """The number of processes."""
        return int(self.accelerator.num_processes)

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and reports progress."""
        return bool(self.accelerator.is_main_process)

    def on_main_process(self, action: Callable[[], T]) -> T | None:
        """Run an action in the main process while the others wait. If it fails, all processes raise an error.

        Returns:
            The result of the action in the main process; None in the others.
        """
        if self.processes == 1:
            return action()
        result, message = None, [""]
        error: BaseException | None = None
        if self.is_main_process:
            try:
                result = action()
            except BaseException as caught:
                error, message = caught, [f"{type(caught).__name__}: {caught}"]
        broadcast_object_list(message)
        if error is not None:
            raise error
        if message[0]:
            raise VczooError(f"the main process failed: {message[0]}")
        return result

    def agreed(self, value: T) -> T:
        """The main process's value, in all processes."""
        values = [value]
        if self.processes > 1:
            broadcast_object_list(values)
        return values[0]

    def anybody(self, flag: bool) -> bool:
        """Whether the flag is true in any process."""
        if self.processes == 1:
            return flag
        raised = torch.tensor([float(flag)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(raised, "sum") > 0)

    def everything(self, items: list[Any]) -> list[Any]:
        """The lists of all processes, concatenated."""
        return items if self.processes == 1 else list(gather_object(items))

    def wrap(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that it runs in the chosen precision and averages gradients over processes."""
        if self.sharded:  # FSDP has already wrapped its parts
            return module
        prepared: nn.Module = self.accelerator.prepare_model(module)
        return prepared

    def prepare(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Wrap an optimizer if several processes or a half precision need it.

        Accelerate's wrapper looks twice in every step for a package that is not installed.
        """
        if self.processes == 1 and self.accelerator.scaler is None:
            return optimizer
        prepared: torch.optim.Optimizer = self.accelerator.prepare_optimizer(optimizer)
        return prepared

    def clip(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        """Clip the joint norm of all gradients."""
        trained = [parameter for parameter in parameters if parameter.grad is not None]
        self.accelerator.unscale_gradients()
        nn.utils.clip_grad_norm_(trained, norm)  # Accelerator's imports sympy, to look for sharded gradients

    def seed(self, seed: int) -> None:
        """Seed torch on this process's device only. `torch.manual_seed` also seeds unused devices, which is slow."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type != "cpu":
            torch.manual_seed(seed)

    def level(self, tensors: Iterable[Tensor]) -> None:
        """Copy tensors from the main process to all others, such as running statistics, which differ per process."""
        for tensor in tensors if self.processes > 1 else ():
            if tensor.is_floating_point() or tensor.dtype == torch.int64:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        self.accelerator.wait_for_everyone()


def _leave() -> None:
    """Destroy the process group while Python still runs; otherwise its threads abort the process at exit."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
