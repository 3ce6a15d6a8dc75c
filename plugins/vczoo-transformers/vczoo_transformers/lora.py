"""LoRA as a freezing strategy, through peft: a backbone in; the same one with adapters in its linear layers out.

`prepare` puts them in before training, `finish` adds what they learnt to the weights and takes them out again: what
is stored of a run is a backbone like any other, and needs no peft. Source: arXiv:2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from vczoo import Backbone, ContractError, Freezing, Waveform

__all__ = ["Lora"]

ADAPTER = "vczoo"  # what peft calls ours
PROBE_SECONDS = 0.5  # of noise, which tells the linear layers that a backbone runs


class Lora(Freezing):
    """Everything is frozen but adapters of low rank beside linear layers; any backbone that has such layers.

    Layers whose weights a network reads without running them (WavLM's attention does) get none: theirs would learn
    nothing.

    Args:
        rank: of an adapter: it has rank * (inputs + outputs) parameters.
        alpha: what an adapter's output is multiplied by, times the rank.
        targets: last parts of the names of the linear layers that get adapters, [q_proj, v_proj] say; none names all.
        trainable_stages: how many stages, from the last backwards, get adapters; None is all.

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
            raise ContractError(f"trainable_stages is 1 or more, or not given, got {trainable_stages}")
        self.rank, self.alpha = rank, alpha
        self.targets, self.trainable_stages = tuple(targets), trainable_stages

    def multipliers(self, num_stages: int, epoch: int) -> tuple[float, ...]:
        """1 for the stages that may have adapters, 0 for those before them."""
        free = num_stages if self.trainable_stages is None else min(self.trainable_stages, num_stages)
        return (0.0,) * (num_stages - free) + (1.0,) * free

    def trains(self, module: nn.Module) -> bool:
        """Whether this is a part of an adapter."""
        return bool(getattr(module, "is_adapter", False))

    def prepare(self, backbone: Backbone) -> None:
        """Put adapters in; what the backbone gives does not change, since an adapter's second matrix starts at 0.

        Torch's global random state decides what the first one starts at.

        Raises:
            ContractError: there is no linear layer to adapt, or none of a name in `targets`.
        """
        run = _linears_that_run(backbone)
        stages = backbone.stages()
        found: set[str] = set()
        for stage, multiplier in zip(stages, self.multipliers(len(stages), 0), strict=True):
            names = [
                name
                for name, module in stage.module.named_modules()
                if multiplier and name and id(module) in run and self._wants(name)
            ]
            if not names:
                continue
            found |= {name.rpartition(".")[2] for name in names}
            config = LoraConfig(
                r=self.rank,
                lora_alpha=self.alpha,
                target_modules="|".join(re.escape(name) for name in names),
            )
            inject_adapter_in_model(config, stage.module, adapter_name=ADAPTER)
        if missing := sorted(set(self.targets) - found):
            raise ContractError(
                f"no linear layer called {', '.join(missing)} runs in the stages that are to train; "
                f"these do: {', '.join(sorted(_names(backbone, run)))}"
            )
        if not found:
            raise ContractError(
                "LoRA adapts linear layers, and the stages that are to train run none; use partial or another strategy"
            )
        for _, _, layer in _adapted(backbone):
            for part in (layer.lora_A, layer.lora_B, layer.lora_dropout):
                for module in part.modules():
                    module.is_adapter = True  # type: ignore[assignment]

    def finish(self, backbone: Backbone) -> None:
        """Add what the adapters learnt to the weights, and take them out.

        Raises:
            ContractError: an adapter holds NaN or infinity.
        """
        for parent, name, layer in list(_adapted(backbone)):
            try:
                layer.merge(safe_merge=True)
            except ValueError as error:
                raise ContractError(f"the adapter of {name} holds NaN or infinity: training diverged") from error
            setattr(parent, name, layer.get_base_layer())
        for stage in backbone.stages():
            if hasattr(stage.module, "peft_config"):  # else peft would take the next adapters for a second set
                del stage.module.peft_config
        backbone.hold(())  # what was held in eval mode is no longer there

    def _wants(self, name: str) -> bool:
        return not self.targets or name.rpartition(".")[2] in self.targets


def _linears_that_run(backbone: Backbone) -> set[int]:
    """The linear layers, by identity, that are called when the backbone runs."""
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
    """Each adapted layer, its name in the module that holds it, and that module."""
    for stage in backbone.stages():
        for parent in stage.module.modules():
            for name, child in parent.named_children():
                if isinstance(child, LoraLayer):
                    yield parent, name, child


def _names(backbone: Backbone, run: set[int]) -> set[str]:
    return {name.rpartition(".")[2] for name, module in backbone.named_modules() if id(module) in run}
