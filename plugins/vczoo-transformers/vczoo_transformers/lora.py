"""LoRA as a freezing strategy: low-rank adapters (peft) in the linear layers of a backbone.

`prepare` adds the adapters before training. `finish` merges them into the weights and removes them, so a saved run is
an ordinary backbone and needs no peft. Source: arXiv:2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from vczoo import Backbone, ContractError, Freezing, StagedPart, Waveform

__all__ = ["Lora"]

ADAPTER = "vczoo"  # the name of our adapters in peft
PROBE_SECONDS = 0.5  # of noise, run to find the linear layers that a backbone calls


class Lora(Freezing):
    """Freezes everything except low-rank adapters, for any backbone with linear layers.

    Some networks, such as WavLM's attention, read the weights of a linear layer without calling it. Such layers get no
    adapter, because it would learn nothing.

    Args:
        rank: The rank of an adapter, which has rank * (inputs + outputs) parameters.
        alpha: The scale of the adapters: their output is multiplied by alpha / rank.
        targets: The last parts of the names of the linear layers that get adapters, such as [q_proj, v_proj]; if
            empty, all linear layers do.
        trainable_stages: The number of stages that get adapters, counted from the last; None means all.

    Raises:
        ContractError: rank, alpha or trainable_stages is out of range.
    """

    def __init__(
        self,
        rank: int = 8,
        alpha: int = 16,
        targets: tuple[str, ...] = (),
        trainable_stages: int | None = None,
    ) -> None:
        if rank < 1:
            raise ContractError(f"rank is 1 or more, got {rank}")
        if alpha < 1:
            raise ContractError(f"alpha is 1 or more, got {alpha}")
        if trainable_stages is not None and trainable_stages < 1:
            raise ContractError(f"trainable_stages is 1 or more, or is left out; got {trainable_stages}")
        self.rank, self.alpha = rank, alpha
        self.targets, self.trainable_stages = tuple(targets), trainable_stages

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """1 for the stages that may have adapters, 0 for the stages before them.

        Raises:
            ContractError: The backbone has fewer stages than `trainable_stages`.
        """
        free = num_stages if self.trainable_stages is None else self.trainable_stages
        if free > num_stages:
            raise ContractError(
                f"trainable_stages is {free}, but the backbone has {num_stages} stages; choose 1 to {num_stages}"
            )
        return (0.0,) * (num_stages - free) + (1.0,) * free

    def trains(self, module: nn.Module) -> bool:
        """Whether the module is a part of an adapter."""
        return bool(getattr(module, "is_adapter", False))

    def prepare(self, part: StagedPart) -> None:
        """Add the adapters. The output of the backbone does not change, because their second matrices start at 0.

        The first matrices are drawn from torch's global random state.

        Raises:
            ContractError: There is no linear layer to adapt, or none with a name in `targets`; or the part is not a
                backbone.
        """
        if not isinstance(part, Backbone):
            raise ContractError("transformers/lora is for a backbone; use the strategy lora, which is for every part")
        backbone: Backbone = part
        run = _linears_that_run(backbone)
        stages = backbone.stages()
        adapted: set[str] = set()
        for stage, multiplier in zip(stages, self.multipliers(len(stages), 0), strict=True):
            names = [
                name
                for name, module in stage.module.named_modules()
                if multiplier and name and id(module) in run and self._is_target(name)
            ]
            if not names:
                continue
            adapted |= {name.rpartition(".")[2] for name in names}
            config = LoraConfig(
                r=self.rank,
                lora_alpha=self.alpha,
                target_modules="|".join(re.escape(name) for name in names),
            )
            inject_adapter_in_model(config, stage.module, adapter_name=ADAPTER)
        if missing := sorted(set(self.targets) - adapted):
            raise ContractError(
                f"no linear layer called {', '.join(missing)} runs in the stages to train; "
                f"these do: {', '.join(sorted(_names(backbone, run)))}"
            )
        if not adapted:
            raise ContractError(
                "LoRA adapts linear layers, but the stages to train run none; use partial or another strategy"
            )
        for _, _, layer in _adapted(backbone):
            for piece in (layer.lora_A, layer.lora_B, layer.lora_dropout):
                for module in piece.modules():
                    module.is_adapter = True  # type: ignore[assignment]

    def finish(self, part: StagedPart) -> None:
        """Merge the adapters into the weights and remove them.

        Raises:
            ContractError: An adapter holds NaN or infinity.
        """
        assert isinstance(part, Backbone)  # as `prepare` checked
        backbone: Backbone = part
        for parent, name, layer in list(_adapted(backbone)):
            try:
                layer.merge(safe_merge=True)
            except ValueError as error:
                raise ContractError(f"the adapter of {name} holds NaN or infinity: training diverged") from error
            setattr(parent, name, layer.get_base_layer())
        for stage in backbone.stages():
            if hasattr(stage.module, "peft_config"):  # otherwise peft would add the next adapters as a second set
                del stage.module.peft_config
        backbone.hold(())  # the modules held in eval mode no longer exist

    def _is_target(self, name: str) -> bool:
        return not self.targets or name.rpartition(".")[2] in self.targets


def _linears_that_run(backbone: Backbone) -> set[int]:
    """The ids of the linear layers that are called when the backbone runs."""
    run: set[int] = set()
    linears = [module for module in backbone.modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_hook(lambda module, *_: run.add(id(module))) for module in linears]
    rate = backbone.spec.sample_rate_hz
    device = next((parameter.device for parameter in backbone.parameters()), torch.device("cpu"))
    samples = torch.rand(round(PROBE_SECONDS * rate), generator=torch.Generator().manual_seed(0)) - 0.5
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            backbone(Waveform.of(samples.to(device), rate))
    finally:
        backbone.train(training)
        for hook in hooks:
            hook.remove()
    return run


def _adapted(backbone: Backbone) -> Iterator[tuple[nn.Module, str, LoraLayer]]:
    """Each adapted layer, with its parent module and its name there."""
    for stage in backbone.stages():
        for parent in stage.module.modules():
            for name, child in parent.named_children():
                if isinstance(child, LoraLayer):
                    yield parent, name, child


def _names(backbone: Backbone, run: set[int]) -> set[str]:
    return {name.rpartition(".")[2] for name, module in backbone.named_modules() if id(module) in run}
