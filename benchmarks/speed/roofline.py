"""Roofline of a fine-tune: FLOPs of the layers that must run, and the matrix rate of this machine.

Only convolutions and matrix products are counted, an addition and a multiplication each (`torch.utils.flop_counter`);
the optimizer, pools and norms are not. `speed/finetune.py` prints the result next to the measured seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MATRIX = 2048
REPEATS = 5


def matrix_rate() -> float:
    """FLOP/s of a product of square float32 matrices: the best of several, on torch's threads."""
    import torch

    left, right = torch.randn(2, MATRIX, MATRIX)
    seconds = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - began)
    return 2 * MATRIX**3 / min(seconds[1:])


def flops_an_image(recipe: Path, overrides: list[str], mels: int, columns: int, speakers: int) -> dict[str, int]:
    """FLOPs per image of vczoo's fine-tune and of a plain loop.

    `frozen` is of the frozen stages, `forward` and `step` of the trained ones and heads, `plain_forward` and
    `plain_step` of the trained ones and the plain loop's classifier.
    """
    import torch
    from torch import nn

    from benchmarks.speed.baselines import usual_classifier
    from vczoo.models.build import build, build_freezing, checked_recipe
    from vczoo.training.optimizer import trainable

    checked = checked_recipe(recipe, overrides)
    model = build(checked, speakers).eval()
    backbone = model.backbone
    free = set(trainable(model, build_freezing(checked), checked.training.epochs)["backbone"])
    frozen = nn.Sequential(*(stage.module for stage in backbone.stages() if stage.name not in free))
    rest = nn.Sequential(*(stage.module for stage in backbone.stages() if stage.name in free))
    image = torch.zeros(1, 3, mels, columns)
    with torch.no_grad():
        before = frozen(image)
    count = backbone.num_frames((columns - 1) * backbone.mel_spec.hop_length)
    lengths, speaker = torch.tensor([count]), torch.tensor([0])

    def forward() -> Any:
        content = backbone.collect(rest(before), lengths)
        return sum(head.loss(content, speaker).value for head in model.speaker_heads.values())

    classifier = usual_classifier(speakers)

    def plain() -> Any:
        return classifier(rest(before)).sum()

    with torch.no_grad():
        flops = {"frozen": counted(lambda: frozen(image))}
        flops |= {"forward": counted(forward), "plain_forward": counted(plain)}
    return {**flops, "step": counted(lambda: forward().backward()), "plain_step": counted(lambda: plain().backward())}


def counted(call: Callable[[], Any]) -> int:
    """FLOPs of one call."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def must_run(flops: Mapping[str, int], utterances: Mapping[str, int], epochs: int, *, warm: bool) -> int:
    """FLOPs of a fine-tune: frozen stages once per utterance (not if warm), then training, validation and test."""
    frozen = 0 if warm else flops["frozen"] * sum(utterances.values())
    training = epochs * (utterances["train"] * flops["step"] + utterances["validation"] * flops["forward"])
    return frozen + training + utterances["test"] * flops["forward"]


def plain_loop(flops: Mapping[str, int], utterances: Mapping[str, int], epochs: int) -> int:
    """FLOPs of a plain loop, which runs the frozen stages in every epoch."""
    step, forward = flops["frozen"] + flops["plain_step"], flops["frozen"] + flops["plain_forward"]
    training = epochs * (utterances["train"] * step + utterances["validation"] * forward)
    return training + utterances["test"] * forward


def own_times(profile: Any, count: int = 15) -> list[tuple[str, float]]:
    """The entries of a `cProfile.Profile` with the most own time: name and seconds."""
    import pstats

    entries = []
    for (file, line, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():
        place = f"{Path(file).parent.name}/{Path(file).name}:{line} " if line else ""
        entries.append((f"{place}{name}", own))
    return sorted(entries, key=lambda entry: -entry[1])[:count]
