"""Conversion cost by length of the source and of the reference, and as a stream, and the effect of chunk seams.

    python -m benchmarks.speed.conversion                           # synthetic speech, the recipe demo-knn
    python -m benchmarks.speed.conversion --data VCTK --recipe whisper-tiny-decoder backbone.weights=FOLDER \\
        --minutes .2 1 10 60

Sources are real speech from --data, or synthetic speech, repeated to each length. Every row is a process of its own, on
one thread of the CPU, all rows one after another in one run: wall and CPU seconds, and the process's peak memory. That
is read from /proc, so this runs on Linux only.

source     `Converter.convert_file`, file to file, and the model on the whole recording where --whole-minutes allows it
reference  `vczoo.modules.nn.nearest_frames` and the plain similarity matrix; the exponents of growth are fitted
stream     compute time of a block, and the latency that follows from the block's length and the lookahead
seams      a minute in short chunks, compared with the whole: level and log-mel distance at the seams, and elsewhere at
           frames of the same level
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import torch

import vczoo
from benchmarks.lib.child_process import status_megabytes
from benchmarks.speed.scaling import exponent
from vczoo.audio.pitch import mean_log_hz, pitch_shift
from vczoo.audio.writer import SoundWriter
from vczoo.conversion.chunked import ChunkedConversion, plan_in_seconds
from vczoo.modules.nn.nearest_frames import nearest_frames

RATE_HZ, K = 16000, 4
VOICE = "target"
SEAM_SECONDS = 0.05  # on each side of a seam: the fade and half a mel window
LEVELS_DB = 3.0  # frames within this range count as the same level
SMALL_SAMPLES = 256
CLEAR = Path("/proc/self/clear_refs")  # writing 5 to it resets the peak memory of the process
Row = dict[str, Any]


def reset_peak() -> None:
    """Reset the process's peak memory to what it holds now."""
    CLEAR.write_text("5", encoding="utf-8")


class Clock:
    """Wall and CPU seconds of a with block."""

    def __enter__(self) -> Clock:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu


def speech(data: Path | None) -> torch.Tensor:
    """About a minute of the source speaker's speech: (S,) at 16 kHz."""
    if data is None:
        from vczoo.audio.espeak import SENTENCES, SYNTHETIC_VOICES, speak

        waves = [speak(text, SYNTHETIC_VOICES["ada"]).resample(RATE_HZ) for text in SENTENCES[:20]]
    else:
        waves = [vczoo.Waveform.read(path, RATE_HZ) for path in recordings(data)[1]]
    return torch.cat([wave.samples[0] for wave in waves])


def recordings(data: Path) -> list[list[Path]]:
    folders = sorted(path for path in data.iterdir() if path.is_dir())
    return [sorted(path for path in folder.iterdir() if path.suffix in {".wav", ".flac"}) for folder in folders]


def make_run(place: Path, arguments: argparse.Namespace) -> Path:
    """Write a run with one voice, for every process to load, and return its folder."""
    converter = vczoo.load(arguments.recipe, arguments.overrides, device="cpu")
    if arguments.data is None:
        from vczoo.audio.espeak import SENTENCES, SYNTHETIC_VOICES, speak

        converter.enroll(VOICE, [speak(text, SYNTHETIC_VOICES["hugo"]) for text in SENTENCES[:8]])
    else:
        converter.enroll(VOICE, list(recordings(arguments.data)[0][:8]))
    return converter.save(place / "run")


def convert(run: Path, source: Path, out: Path, whole: bool) -> Row:
    torch.set_num_threads(1)
    converter = vczoo.load(run, device="cpu")
    before = status_megabytes("VmRSS")
    reset_peak()
    with Clock() as clock:
        if whole:
            wave = vczoo.Waveform.read(source, converter.model.sample_rate_hz)
            output = converter.model.convert(wave, converter.run.voices[VOICE].tensors)
            output.save(out, overwrite=True)
            seconds = output.seconds
        else:
            seconds = converter.convert_file(source, out, VOICE, overwrite=True)
    return {
        "seconds": seconds,
        "wall_seconds": clock.wall,
        "real_time_factor": clock.wall / seconds,
        "cpu_per_second": clock.cpu / seconds,
        "megabytes_loaded": before,
        "peak_megabytes": status_megabytes("VmHWM"),
    }


def matrix_frames(queries: torch.Tensor, reference: torch.Tensor, k: int) -> torch.Tensor:
    return (queries @ reference.T).topk(k, dim=1).indices


def search(plain: bool, frames: int, queries: int, channels: int) -> Row:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)

    def unit_rows(count: int) -> torch.Tensor:
        rows = torch.empty(count, channels)
        for part in rows.split(8192):  # type: ignore[no-untyped-call]
            torch.nn.functional.normalize(part.normal_(generator=generator), dim=1, out=part)
        return rows

    reference, query_rows = unit_rows(frames), unit_rows(queries)
    find: Callable[..., torch.Tensor] = matrix_frames if plain else nearest_frames
    find(query_rows[:8], reference[:SMALL_SAMPLES], K)  # so that lazy loading is not measured
    before = status_megabytes("VmRSS")
    reset_peak()
    with Clock() as clock:
        indices = find(query_rows, reference, K)
    return {
        "wall_seconds": clock.wall,
        "cpu_seconds": clock.cpu,
        "reference_megabytes": reference.numel() * 4 / 1e6,
        "extra_megabytes": status_megabytes("VmHWM") - before,
        "indices_sha256": hashlib.sha256(indices.sort(dim=1).values.numpy().tobytes()).hexdigest(),
    }


def stream(run: Path, samples: torch.Tensor, block: float, lookahead: float, history: float) -> Row:
    torch.set_num_threads(1)
    converter = vczoo.load(run, device="cpu")
    samples = vczoo.Waveform.of(samples, RATE_HZ).resample(converter.model.sample_rate_hz).samples[0]
    fed: list[float] = []

    def microphone() -> Iterator[torch.Tensor]:
        for part in torch.split(samples, SMALL_SAMPLES):  # type: ignore[no-untyped-call]
            fed.append(time.perf_counter())
            yield part

    output = converter.stream(
        microphone(), VOICE, block_seconds=block, lookahead_seconds=lookahead, history_seconds=history
    )
    compute_seconds, lengths = [], []
    for samples_out in output:
        compute_seconds.append(time.perf_counter() - fed[-1])  # since the last samples that it needed
        lengths.append(len(samples_out) / output.sample_rate_hz)
    block = lengths[0]  # the requested length, rounded to whole frames
    steady = sorted(compute_seconds[len(compute_seconds) // 4 :])  # after the history has filled up
    median, late = statistics.median(steady), steady[int(0.95 * (len(steady) - 1))]
    return {
        "block_seconds": block,
        "lookahead_seconds": lookahead,
        "history_seconds": history,
        "latency_seconds": output.latency_seconds,
        "compute_median": median,
        "compute_95": late,
        "share_of_block": median / block,
        "both_seconds": output.latency_seconds + late,
    }


@torch.inference_mode()
def seams(run: Path, samples: torch.Tensor, block: float, search_seconds: float) -> Row:
    torch.set_num_threads(1)
    converter = vczoo.load(run, device="cpu")
    model = converter.model
    wave = vczoo.Waveform.of(samples, RATE_HZ).resample(model.sample_rate_hz)
    voices = [(converter.run.voices[VOICE].tensors, 1.0)]
    whole = model.convert(wave, voices)
    plan = plan_in_seconds(model, block=block, history=3.0, lookahead=3.0, search=search_seconds, fade=0.02, lag=0.005)
    shift = pitch_shift(voices, mean_log_hz(model.pitch(wave)))
    conversion = ChunkedConversion(model, voices, plan, shift=shift)
    chunks = [*conversion.push(wave.samples[0]), *conversion.finish()]
    chunked = vczoo.Waveform.of(torch.cat(chunks), model.sample_rate_hz)
    mel = vczoo.LogMel(vczoo.MelSpec())
    ours, theirs = (mel(output.resample(RATE_HZ)).values[0] for output in (chunked, whole))
    db = 20 / math.log(10)
    distance = (ours - theirs).abs().mean(dim=1) * db
    level = (ours.exp().square().sum(dim=1).log() - theirs.exp().square().sum(dim=1).log()) * db / 2
    loudness = theirs.exp().square().sum(dim=1).log() * db / 2
    change = [(frames[1:] - frames[:-1]).abs().mean(dim=1) for frames in (ours, theirs)]
    near = torch.zeros(len(ours), dtype=torch.bool)
    for seam in conversion.joiner.seams:
        center = (seam + plan.fade / 2) / model.sample_rate_hz
        near[max(0, int((center - SEAM_SECONDS) * 100)) : int((center + SEAM_SECONDS) * 100) + 1] = True
    # Compare each frame at a seam with frames elsewhere of its level: in decibels, quiet frames differ more.
    alike = torch.stack([((loudness - loudness[i]).abs() < LEVELS_DB) & ~near for i in near.nonzero().flatten()])
    weight = (alike / alike.sum(dim=1, keepdim=True).clamp(min=1)).mean(dim=0)
    pairs = near[1:] | near[:-1]
    return {
        "block_seconds": block,
        "search_seconds": search_seconds,
        "seams": len(conversion.joiner.seams),
        "distance_db": float(distance[near].mean()),
        "distance_elsewhere_db": float((distance * weight).sum()),
        "level_db": float(level[near].mean()),
        "level_elsewhere_db": float((level * weight).sum()),
        "lowest_level_db": float(level[near].min()),
        "lowest_elsewhere_db": float(level[~near].min()),
        "change_ratio": float(change[0][pairs].mean() / change[1][pairs].mean()),
        "change_ratio_elsewhere": float(change[0][~pairs].mean() / change[1][~pairs].mean()),
    }


def in_own_process(function: Callable[..., Row], *arguments: object) -> Row:
    """Call a function in a new process and return its row."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def show(title: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
    print(f"\n{title}")
    print("".join(f"{column.replace('_', ' '):>{max(12, len(column) + 2)}}" for column in columns))
    for row in rows:
        cells = (f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for name in columns)
        print(
            "".join(f"{cell:>{max(12, len(column) + 2)}}" for cell, column in zip(cells, columns, strict=True)),
            flush=True,
        )


def by_source(place: Path, run: Path, spoken: torch.Tensor, arguments: argparse.Namespace) -> list[Row]:
    """Measure and print the rows by length of the source."""
    rows: list[Row] = []
    for minutes in sorted(arguments.minutes):
        source, missing = place / "source.wav", round(minutes * 60 * RATE_HZ)
        with SoundWriter(source, RATE_HZ, overwrite=True) as file:
            while missing > file.written:
                file.write(spoken[: missing - file.written].numpy())
        for how in ("chunks", "whole") if minutes <= arguments.whole_minutes else ("chunks",):
            row = {"how": how, **in_own_process(convert, run, source, place / "converted.wav", how == "whole")}
            first = next((shortest for shortest in rows if shortest["how"] == how), row)
            row["memory_ratio"] = row["peak_megabytes"] / first["peak_megabytes"]
            row["time_ratio"] = row["real_time_factor"] / first["real_time_factor"]
            rows.append(row)
    columns = ["how", "seconds", "wall_seconds", "real_time_factor", "cpu_per_second"]
    columns += ["time_ratio", "megabytes_loaded", "peak_megabytes", "memory_ratio"]
    show("by length of the source; ratios are to the shortest", rows, columns)
    return rows


def by_reference(arguments: argparse.Namespace) -> list[Row]:
    """Measure and print the rows by minutes of reference."""
    rows: list[Row] = []
    for minutes in sorted(arguments.reference_minutes):
        sizes = (round(minutes * 6000), arguments.queries, arguments.channels)
        ours = {"how": "nearest_frames", "minutes": minutes, **in_own_process(search, False, *sizes)}
        plain = {"how": "matrix", "minutes": minutes, **in_own_process(search, True, *sizes)}
        plain["time_ratio"] = plain["cpu_seconds"] / ours["cpu_seconds"]
        plain["memory_ratio"] = plain["extra_megabytes"] / max(1.0, ours["extra_megabytes"])
        plain["same"] = plain["indices_sha256"] == ours["indices_sha256"]
        rows += [ours | {"time_ratio": 1.0, "memory_ratio": 1.0, "same": True}, plain]
    columns = ["how", "minutes", "cpu_seconds", "time_ratio", "reference_megabytes", "extra_megabytes"]
    show("by minutes of reference; ratios are to nearest_frames", rows, [*columns, "memory_ratio", "same"])
    return rows


def growth(rows: Sequence[Row]) -> dict[str, float | None]:
    """Print and return the exponents by which time and memory of a search grow with minutes of reference."""
    exponents: dict[str, float | None] = {}
    for how in ("nearest_frames", "matrix"):
        own = [row for row in rows if row["how"] == how]
        for figure in ("cpu_seconds", "extra_megabytes"):
            grown = exponent([row["minutes"] for row in own], [row[figure] for row in own])
            exponents[f"{how}.{figure}"] = grown
            if grown is not None:
                print(f"{how}: {figure.replace('_', ' ')} grow with minutes to the power of {grown:.2f}")
    return exponents


def as_stream(run: Path, minute: torch.Tensor, blocks: Sequence[float]) -> list[Row]:
    """Measure and print the rows of streams."""
    rows = [in_own_process(stream, run, minute, block, 0.25, 4.0) for block in blocks]
    show("as a stream, seconds", rows, list(rows[0]) if rows else [])
    return rows


def at_seams(run: Path, minute: torch.Tensor) -> list[Row]:
    """Measure and print the rows of seams against the whole."""
    rows = [in_own_process(seams, run, minute, *plan) for plan in ((4.0, 2.0), (4.0, 0.0), (1.0, 0.0))]
    show("seams against the whole", rows, list(rows[0]))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="overrides for the recipe, like backbone.weights=FOLDER")
    parser.add_argument("--recipe", default="demo-knn", help="or a run's folder, ./RUN")
    parser.add_argument("--data", type=Path, help="<speaker>/*.flac or *.wav; by default synthetic speech")
    parser.add_argument("--minutes", type=float, nargs="*", default=[1 / 6, 1, 10], help="lengths of the sources")
    parser.add_argument("--whole-minutes", type=float, default=1.0, help="also convert sources up to this length whole")
    parser.add_argument("--reference-minutes", type=float, nargs="*", default=[1, 10, 60])
    parser.add_argument("--queries", type=int, default=3000, help="frames of the source, half a minute at 100 Hz")
    parser.add_argument("--channels", type=int, default=384, help="channels of the frames that are searched")
    parser.add_argument("--blocks", type=float, nargs="*", default=[0.25, 0.5, 1.0], help="seconds per streamed block")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/conversion.json"))
    arguments = parser.parse_args()
    if not os.access(CLEAR, os.W_OK):
        parser.error(f"memory is read from /proc and its peak reset through {CLEAR}, which is missing here: use Linux")
    results: dict[str, Any] = {"recipe": arguments.recipe, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run, spoken = make_run(place, arguments), speech(arguments.data)
        minute = spoken.repeat(-(-60 * RATE_HZ // len(spoken)))[: 60 * RATE_HZ]
        results["source"] = by_source(place, run, spoken, arguments)
        results["reference"] = by_reference(arguments)
        results["exponents"] = growth(results["reference"])
        results["stream"] = as_stream(run, minute, arguments.blocks)
        results["seams"] = at_seams(run, minute)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
