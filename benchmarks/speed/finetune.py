"""Fine-tuning time: vczoo with and without its cache of frozen stages, compared with the usual ways.

    python -m benchmarks.speed.finetune --data FSDD_FOLDER               # images of 80 mels and 64 columns
    python -m benchmarks.speed.finetune --data FSDD_FOLDER --size 224    # 224 x 224, recordings padded to 2.23 s
    python -m benchmarks.speed.finetune --data FSDD_FOLDER --limit 40 --epochs 4 --baselines plain      # a quick look

VGG16 with the whole trunk frozen, and with its last stage trained. Every row is a process of its own, timed from its
start to its test accuracy: imports, reading of audio, images, training, validation after each epoch, test. All rows
share recordings, splits, images, trunk weights, epochs, batch size and threads. The usual ways flatten the trunk's map
into a classifier 25088-1024-512-speakers; vczoo's head reads mean and deviation over time. That is a far cheaper layer
and part of the ratio, so one plain loop has that head too. Weights are random without `--weights FILE.safetensors` in
torchvision's naming.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data.fsdd import write_data
from benchmarks.lib.child_process import measured, peak_megabytes
from benchmarks.speed.finetune_child import WORK
from benchmarks.speed.roofline import must_run, plain_loop

KINDS = ("frozen", "partial")
BASELINES = {"plain": "plain loop", "head": "plain, our head", "trainer": "HF Trainer", "fastai": "fastai fine_tune"}
NEEDS = {"trainer": "transformers", "fastai": "fastai"}
CACHES = {"cold": "vczoo, cold cache", "warm": "vczoo, warm cache", "none": "vczoo, no cache"}
SIZE = (80, 64)  # mels and columns
EQUAL_POINTS = 1.0
PROFILED_EPOCHS = 5  # few, because a profiler slows the code down


def child(job: Mapping[str, Any]) -> None:
    outcome = WORK[job["work"]](job)
    print("\n" + json.dumps({**outcome, "peak_megabytes": peak_megabytes()}))


def run(job: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    job = {**job, **changes}
    return measured([sys.executable, "-m", "benchmarks.speed.finetune", "--child", json.dumps(job)], job["threads"])


def measure(job: Mapping[str, Any], baselines: Sequence[str], caches: Sequence[str]) -> list[dict[str, Any]]:
    """All rows of one kind of fine-tune; ratios are to the first."""
    rows: list[dict[str, Any]] = []

    def add(name: str, **changes: Any) -> None:
        run(job, work="imports", baseline=changes.get("baseline"))
        row = {"kind": job["kind"], "row": name, **run(job, **changes)}
        first = (rows or [row])[0]
        row["ratio"] = first["wall_seconds"] / row["wall_seconds"]
        row["cpu_ratio"] = first["cpu_seconds"] / row["cpu_seconds"]
        row["points"] = 100 * (row["test"] - first["test"])
        rows.append(row)
        print(sentence(row), flush=True)

    for baseline in baselines:
        needed = NEEDS.get(baseline)
        if needed and importlib.util.find_spec(needed) is None:
            print(f"{job['kind']:8} {BASELINES[baseline]:18} left out: {needed} is not installed", flush=True)
        else:
            add(BASELINES[baseline], work="baseline", baseline=baseline)
    cache_folder = str(Path(job["folder"], f"cache-{job['kind']}"))
    if "warm" in caches and "cold" not in caches:
        run(job, work="ours", cache=cache_folder)  # fills the cache and is not a row
    for cache in (cache for cache in CACHES if cache in caches):  # cold first, because it fills the cache
        add(CACHES[cache], work="ours", cache=None if cache == "none" else cache_folder)
    return rows


def verdict(points: float) -> str:
    """A word for a difference in accuracy to the plain loop, in percentage points."""
    if abs(points) <= EQUAL_POINTS:
        return "equal"
    return "better" if points > 0 else "worse"


def sentence(row: Mapping[str, Any]) -> str:
    return (
        f"{row['kind']:8} {row['row']:18} {row['wall_seconds']:9.1f} {row['ratio']:7.2f} {row['cpu_seconds']:9.1f} "
        f"{row['cpu_ratio']:7.2f} {row['peak_megabytes']:8.0f} {row['test']:6.3f} {row['validation']:7.3f} "
        f"{row['points']:+7.1f} {verdict(row['points'])}"
    )


def bounds(
    rows: Sequence[dict[str, Any]], limits: Mapping[str, Any], utterances: Mapping[str, int], epochs: int
) -> list[dict[str, Any]]:
    """What arithmetic allows each row with a cache: its seconds at the machine's matrix rate, and its ratio.

    The ratio is of the FLOPs of the plain loop to those of the row. A row reaches it if both compute equally fast, and
    nothing but layers takes time.
    """
    outcome = []
    for row in rows:
        cache = next((cache for cache, name in CACHES.items() if name == row["row"]), "none")
        if cache == "none":
            continue
        flops = must_run(limits["flops_an_image"], utterances, epochs, warm=cache == "warm")
        bound = flops / limits["flops_a_second"]
        ratio = row["wall_seconds"] / bound
        most = plain_loop(limits["flops_an_image"], utterances, epochs) / flops
        outcome.append(
            {
                "kind": row["kind"],
                "row": row["row"],
                "flops": flops,
                "bound_seconds": bound,
                "ratio": ratio,
                "ratio_of_flops": most,
            }
        )
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required="--child" not in sys.argv, help="a folder of FSDD")
    parser.add_argument("--rows", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--baselines", nargs="*", default=list(BASELINES), choices=list(BASELINES))
    parser.add_argument("--caches", nargs="*", default=list(CACHES), choices=list(CACHES))
    parser.add_argument("--size", type=int, help=f"mels and columns, a multiple of 32; else {SIZE[0]} x {SIZE[1]}")
    parser.add_argument("--limit", type=int, help="utterances per speaker, about")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--weights", type=Path, help="VGG16 in torchvision's naming; by default random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="overrides, like training.learning_rate=0.002")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/finetune.json"))
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    mels, columns = (arguments.size, arguments.size) if arguments.size else SIZE
    outcome: dict[str, Any] = {"rows": [], "bounds": [], "profiles": {}}
    with tempfile.TemporaryDirectory(prefix="vczoo-finetune-") as folder:
        utterances = write_data(arguments.data, Path(folder), columns, arguments.limit)
        job: dict[str, Any] = {
            **{name: getattr(arguments, name) for name in ("epochs", "batch", "threads", "seed")},
            "mels": mels,
            "columns": columns,
            "folder": folder,
            "manifest": str(Path(folder, "manifest.csv")),
            "overrides": arguments.set,
            "baseline": None,
            "cache": None,
            "weights": str(arguments.weights.resolve() if arguments.weights else Path(folder, "trunk.safetensors")),
            "speakers": len(list(Path(folder, "recordings").iterdir())),
        }
        if not arguments.weights:
            run(job, work="weights")
        outcome |= {"settings": {**job, "utterances": utterances}}
        print(f"{utterances}, {mels} x {columns}, {arguments.epochs} epochs, {arguments.threads} threads")
        print(
            f"{'trunk':8} {'':18} {'seconds':>9} {'ratio':>7} {'CPU s':>9} {'ratio':>7} {'peak MB':>8} {'test':>6} "
            f"{'valid.':>7} {'points':>7}"
        )
        for kind in arguments.rows:
            rows = measure({**job, "kind": kind}, arguments.baselines, arguments.caches)
            limits = run(job, work="limits", kind=kind)
            outcome["rows"] += rows
            outcome["limits"] = {**outcome.get("limits", {}), kind: limits}
            outcome["bounds"] += bounds(rows, limits, utterances, arguments.epochs)
            if "warm" in arguments.caches:
                cache = str(Path(folder, f"cache-{kind}"))
                epochs = min(arguments.epochs, PROFILED_EPOCHS)
                outcome["profiles"][kind] = run(job, work="profile", kind=kind, cache=cache, epochs=epochs)
    report(outcome)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")


def report(outcome: Mapping[str, Any]) -> None:
    """Print the bounds and the profiles."""
    rates = ", ".join(f"{limits['flops_a_second'] / 1e9:.0f}" for limits in outcome["limits"].values())
    print(f"\nLayers that must run, at the matrix rate measured here ({rates} GFLOP/s)")
    columns = f"{'TFLOP':>9} {'bound s':>9} {'measured over bound':>20} {'plain loop over these':>22}"
    print(f"{'trunk':8} {'':18} {columns}")
    for row in outcome["bounds"]:
        figures = (
            f"{row['flops'] / 1e12:9.3f} {row['bound_seconds']:9.2f} {row['ratio']:20.1f} {row['ratio_of_flops']:22.1f}"
        )
        print(f"{row['kind']:8} {row['row']:18} {figures}")
    for kind, profile in outcome["profiles"].items():
        epochs = profile["epochs"]
        print(f"\nOwn seconds of a warm fine-tune under a profiler, {kind}, {epochs} epochs, imports included")
        for name, seconds in profile["own_seconds"]:
            print(f"{seconds:8.2f}  {name}")


if __name__ == "__main__":
    main()
