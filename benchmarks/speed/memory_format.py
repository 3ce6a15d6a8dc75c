"""Memory format, torch.compile, threads and batch size: time per image of two trunks, at the images of their recipes.

    python -m benchmarks.speed.memory_format

Milliseconds per image of (a) the whole trunk in inference mode, as frozen stages run once, and (b) a training step of
its last stage and a small head on the output of the stages before it. Each figure is the best of several repeats, taken
in turn over all variants, so that the machine's drift affects all of them. Compile time is compared with `--images`
times `--epochs`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

NETWORKS = {"vgg16": "vgg16-partialfreeze", "efficientnet-lite0": "efficientnet-partialfreeze"}
TASKS = ("trunk, inference", "last stage, train")
SPEAKERS = 6


@dataclass(frozen=True)
class Variant:
    """One way to run a task."""

    network: str
    task: str
    batch: int
    threads: int
    channels_last: bool
    compiled: bool


def variants(networks: list[str], batches: list[int], threads: list[int], compiled: bool) -> Iterator[Variant]:
    """All variants at the first batch size; at the others both layouts, not compiled, at the first thread count."""
    for network in networks:
        for task in TASKS:
            for last in (False, True):
                for count in threads:
                    yield Variant(network, task, batches[0], count, last, False)
                if compiled:
                    yield Variant(network, task, batches[0], threads[0], last, True)
                for batch in batches[1:]:
                    yield Variant(network, task, batch, threads[0], last, False)


def prepared(variant: Variant, height: int, width: int) -> Callable[[], object]:
    """A function that runs one batch."""
    import torch
    from torch import nn

    from vczoo.models.build import build, checked_recipe

    overrides = ["backbone.weights=random", "backbone.time_stride=32", f"backbone.num_mels={height}"]
    torch.manual_seed(0)
    backbone = build(checked_recipe(NETWORKS[variant.network], overrides), SPEAKERS).backbone.eval()
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    backbone.to(memory_format=layout)
    stages = nn.Sequential(*(stage.module for stage in backbone.stages()))
    images = torch.randn(variant.batch, 3, height, width).contiguous(memory_format=layout)
    if variant.task == TASKS[0]:
        run = torch.compile(stages) if variant.compiled else stages

        @torch.inference_mode()
        def infer() -> object:
            return run(images)

        return infer
    with torch.no_grad():
        before = stages[:-1](images).detach()
        channels = stages[-1](before).shape[1]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, SPEAKERS))
    net = nn.Sequential(stages[-1], head).train().to(memory_format=layout)
    step = torch.compile(net) if variant.compiled else net
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)
    speakers = torch.arange(variant.batch) % SPEAKERS

    def train() -> object:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(step(before), speakers)
        loss.backward()
        optimizer.step()
        return loss

    return train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--height", type=int, default=80, help="mels")
    parser.add_argument("--width", type=int, default=64, help="columns of 10 ms")
    parser.add_argument("--batches", type=int, nargs="*", default=[16, 1, 8, 32])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=700)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/memory_format.json"))
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(max(arguments.threads))
    import torch

    all_variants = list(variants(arguments.networks, arguments.batches, arguments.threads, not arguments.no_compile))
    calls, first = {}, {}
    for variant in all_variants:
        torch.set_num_threads(variant.threads)
        calls[variant] = prepared(variant, arguments.height, arguments.width)
        began = time.perf_counter()
        calls[variant]()
        first[variant] = time.perf_counter() - began
        calls[variant]()
    best = dict.fromkeys(all_variants, float("inf"))
    for _ in range(arguments.repeats):
        for variant in all_variants:
            torch.set_num_threads(variant.threads)
            began = time.perf_counter()
            calls[variant]()
            best[variant] = min(best[variant], time.perf_counter() - began)
    rows = []
    print(f"images of {arguments.height} x {arguments.width}; torch {torch.__version__}")
    print(
        f"{'network':19}{'task':19}{'batch':>5}{'threads':>8} {'layout':14}{'mode':9}{'ms/image':>9}{'ratio':>7}"
        f"{'compile s':>10}{'pays after images':>18}"
    )
    for variant in all_variants:
        seconds = best[variant] / variant.batch
        plain = Variant(variant.network, variant.task, arguments.batches[0], arguments.threads[0], False, False)
        eager = Variant(**{**asdict(variant), "compiled": False})
        row = {**asdict(variant), "seconds_per_image": seconds, "ratio": best[plain] / plain.batch / seconds}
        note = ""
        if variant.compiled:
            row["compile_seconds"] = first[variant] - best[variant]
            gain = best[eager] / variant.batch - seconds
            row["pays_after_images"] = row["compile_seconds"] / gain if gain > 0 else None
            after = "never" if gain <= 0 else f"{row['pays_after_images']:.0f}"
            note = f"{row['compile_seconds']:10.1f}{after:>18}"
        rows.append(row)
        print(
            f"{variant.network:19}{variant.task:19}{variant.batch:5}{variant.threads:8} "
            f"{'channels_last' if variant.channels_last else 'contiguous':14}"
            f"{'compiled' if variant.compiled else 'eager':9}{1000 * seconds:9.2f}{row['ratio']:7.2f}{note}"
        )
    total = arguments.images * arguments.epochs
    print(f"ratio: over contiguous, eager, first batch and thread count. A fine-tune is {total} images of training,")
    print(f"{arguments.images} of frozen stages: compiling pays off where the last column is below that.")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
