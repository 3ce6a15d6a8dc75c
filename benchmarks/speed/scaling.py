"""Growth of time and memory with utterances, speakers and minutes of reference; and one process compared with two.

    python -m benchmarks.speed.scaling
    python -m benchmarks.speed.scaling --data REAL_RECORDINGS         # excerpts of real speech; else harmonic sounds

It fine-tunes the recipe `demo`, and enrolls and converts with `demo-knn`. Each point is a process of its own: the
seconds of the call, and how much the call raised the process's peak memory. The exponent is the slope of a
least-squares line through the logarithms: 1 is linear growth; below 1, a constant part still shows. The words in the
recordings do not matter here.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.lib.child_process import child_environment, measured, peak_megabytes

RATE_HZ = 16000
UTTERANCE_SECONDS, REFERENCE_SECONDS, SOURCE_SECONDS = 2.0, 10.0, 5.0
SPEAKERS = 4  # while utterances grow
EPOCHS = 2
OVERRIDES = [f"training.epochs={EPOCHS}", f"training.patience={EPOCHS}"]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """The b of value = a * size ** b, by least squares on the logarithms; None if it is undefined.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 6)
    2.0
    """
    if len(set(sizes)) < 2 or min(values) <= 0:
        return None
    xs, ys = ([math.log(number) for number in row] for row in (sizes, values))
    return statistics.linear_regression(xs, ys).slope


def sounds(data: Path | None, seconds: float) -> Iterator[Any]:
    """An endless series of different recordings of one length: real speech, or harmonics with a moving pitch."""
    import numpy as np

    length, random = round(seconds * RATE_HZ), np.random.default_rng(0)
    if data:
        from vczoo import Waveform

        files = sorted(path for path in data.rglob("*") if path.suffix in {".wav", ".flac", ".ogg", ".mp3"})
        pool = np.concatenate([Waveform.read(path, RATE_HZ).samples[0].numpy() for path in files])
        while True:
            start = random.integers(0, max(1, len(pool) - length))
            excerpt = pool[start : start + length]
            yield np.resize(excerpt, length) + 1e-4 * random.standard_normal(length)
    seconds_at = np.arange(length) / RATE_HZ
    while True:
        pitch_hz = random.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.5, 3) * seconds_at))
        phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
        tone = sum(np.sin(k * phase + random.uniform(0, 6)) * random.uniform(0.2, 1) / k for k in range(1, 16))
        yield 0.2 * tone + 1e-3 * random.standard_normal(length)


def write_folder(folder: Path, speakers: int, utterances: int, seconds: float, data: Path | None) -> Path:
    """Write `utterances` recordings, spread evenly over the speakers: <folder>/<speaker>/<n>.wav."""
    import soundfile

    recordings = sounds(data, seconds)
    for number in range(utterances):
        path = folder / f"speaker{number % speakers:03}" / f"{number:05}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, next(recordings), RATE_HZ, subtype="PCM_16")
    return folder


def train(job: Mapping[str, Any]) -> dict[str, Any]:
    """Fine-tune `demo` on job["folder"]."""
    import torch

    import vczoo

    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # the first optimizer imports half of torch
    with tempfile.TemporaryDirectory(prefix="vczoo-scaling-run-") as out:

        def call() -> None:
            vczoo.finetune("demo", job["folder"], Path(out, "run"), OVERRIDES, cache=False, progress=False)

        return {"fine-tune": timed(call)}


def convert(job: Mapping[str, Any]) -> dict[str, Any]:
    """Enroll job["folder"] as a voice of `demo-knn`, and convert one recording to it."""
    import vczoo

    *references, source = sorted(Path(job["folder"]).glob("*/*.wav"))
    converter = vczoo.load("demo-knn")
    source_wave = vczoo.Waveform.of(vczoo.Waveform.read(source).samples[:, : round(SOURCE_SECONDS * RATE_HZ)], RATE_HZ)
    return {
        "enrolment": timed(lambda: converter.enroll("voice", references)),
        "conversion": timed(lambda: converter.convert(source_wave, "voice")),
    }


def timed(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds of a call, and the MB by which it raised this process's peak memory."""
    before = peak_megabytes()
    began = time.perf_counter()
    call()
    return {"seconds": time.perf_counter() - began, "megabytes": peak_megabytes() - before}


WORK = {"train": train, "convert": convert}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of recordings; by default harmonic sounds")
    parser.add_argument("--utterances", type=int, nargs="*", default=[48, 96, 192, 384])
    parser.add_argument(
        "--speakers", type=int, nargs="*", default=[2, 4, 8, 16], help="sharing the second number of --utterances"
    )
    parser.add_argument("--minutes", type=float, nargs="*", default=[2, 4, 8, 16], help="minutes of reference")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--threads", type=int, default=1, help="threads per process")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scaling.json"))
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print("\n" + json.dumps(WORK[arguments.child["work"]](arguments.child)))
        return
    outcome: dict[str, Any] = {"points": [], "exponents": []}
    with tempfile.TemporaryDirectory(prefix="vczoo-scaling-") as name:
        folder = Path(name)
        fixed = sorted(arguments.utterances)[1] if len(arguments.utterances) > 1 else 96

        def recordings(speakers: int, count: int, seconds: float = UTTERANCE_SECONDS) -> Path:
            place = folder / f"{speakers}-{count}-{seconds:g}"
            return place if place.is_dir() else write_folder(place, speakers, count, seconds, arguments.data)

        grown = {
            "utterances": ("train", {n: recordings(SPEAKERS, n) for n in arguments.utterances}),
            "speakers": ("train", {n: recordings(n, fixed) for n in arguments.speakers}),
            "minutes of reference": (
                "convert",
                {m: recordings(1, round(m * 60 / REFERENCE_SECONDS) + 1, REFERENCE_SECONDS) for m in arguments.minutes},
            ),
        }
        for what, (work, places) in grown.items():
            rows = {size: run(arguments.threads, work=work, folder=str(place)) for size, place in places.items()}
            show_growth(what, rows, outcome)
        if arguments.processes:
            show_processes(recordings(SPEAKERS, fixed), arguments.processes, arguments.threads, outcome)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")


def run(threads: int, **job: Any) -> dict[str, Any]:
    return measured([sys.executable, "-m", "benchmarks.speed.scaling", "--child", json.dumps(job)], threads)


def show_growth(what: str, rows: Mapping[float, Mapping[str, Any]], outcome: dict[str, Any]) -> None:
    """Print a table of one growth with its exponents below, and add both to the outcome."""
    if not rows:
        return
    calls = [name for name in next(iter(rows.values())) if name != "wall_seconds"]
    print(f"\n{what:>22}" + "".join(f"{call + ' s':>16}{'MB':>9}" for call in calls))
    for size, row in rows.items():
        figures = "".join(f"{row[call]['seconds']:16.2f}{row[call]['megabytes']:9.0f}" for call in calls)
        print(f"{size:22g}{figures}", flush=True)
        outcome["points"].append({"grows": what, "size": size, **row})
    line = ""
    for call in calls:
        for unit, width in (("seconds", 16), ("megabytes", 9)):
            values = [row[call][unit] for row in rows.values()]
            fitted = exponent(list(rows), values)
            outcome["exponents"].append({"grows": what, "call": call, "of": unit, "exponent": fitted})
            line += f"{'-' if fitted is None else f'{fitted:.2f}':>{width}}"
    print(f"{'exponent':>22}{line}", flush=True)


def show_processes(place: Path, counts: Sequence[int], threads: int, outcome: dict[str, Any]) -> None:
    """Print the seconds of whole commands, from start to finished run, and of their training."""
    print(f"\n{'processes':>22}{'command s':>16}{'ratio':>9}{'training s':>16}{'ratio':>9}   ({os.cpu_count()} cores)")
    rows: list[dict[str, Any]] = []
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="vczoo-scaling-run-") as name:
            out = Path(name, "run")
            command = ["train", "demo", *OVERRIDES, "--data", str(place), "--out", str(out), "--no-cache"]
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "vczoo", *command, "--processes", str(count)],
                check=True,
                capture_output=True,
                env=child_environment(threads),
            )
            row = {"processes": count, "command": time.perf_counter() - began}
            row["training"] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["seconds"]
        rows.append(row)
        figures = "".join(f"{row[of]:16.2f}{rows[0][of] / row[of]:9.2f}" for of in ("command", "training"))
        print(f"{count:22}{figures}", flush=True)
    outcome["processes"] = rows


if __name__ == "__main__":
    main()
