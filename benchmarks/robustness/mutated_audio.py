"""Mutated sound files of every format: each is read, or refused with an error of vczoo, in bounded time and memory.

python -m benchmarks.robustness.mutated_audio --count 63000
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import selectors
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.lib.child_process import ROOT, child_environment, status_megabytes

SLOW_SECONDS, STUCK_SECONDS = 5.0, 60.0
LARGE_MB, LIMIT_BYTES = 1000.0, 6 << 30  # of address space, most of which libraries only reserve
RATE_HZ, SECONDS = 16000, 0.25
KINDS = ("read", "refused", "crash", "hang", "foreign exception", "NaN", "more than 1 GB")
# Suffix -> FFmpeg's format and encoder.
ENCODED = {
    "m4a": ("ipod", "aac"),
    "aac": ("adts", "aac"),
    "mov": ("mov", "aac"),
    "mkv": ("matroska", "aac"),
    "webm": ("webm", "libopus"),
    "opus": ("ogg", "libopus"),
    "wma": ("asf", "wmav2"),
    "wv": ("wv", "wavpack"),
}
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1000, 65536)


def seed_files(folder: Path) -> list[Path]:
    """Write a quarter of a second in each format and encoding that libsndfile and FFmpeg write."""
    time_seconds = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    samples = (0.4 * np.sin(2 * np.pi * 220 * time_seconds) * np.hanning(time_seconds.size)).astype(np.float32)
    files = []
    for name in soundfile.available_formats():
        for subtype in soundfile.available_subtypes(name):
            path = folder / f"{name}-{subtype}"
            with contextlib.suppress(Exception):  # some pairs need another rate
                soundfile.write(path, np.stack([samples, samples], 1), RATE_HZ, format=name, subtype=subtype)
            if not path.is_file() or not path.stat().st_size:
                with contextlib.suppress(Exception):
                    soundfile.write(path, samples, RATE_HZ, format=name, subtype=subtype)
            files.append(path)
    for suffix in ENCODED:
        files.append(_encode(folder / suffix, samples))
    return [path for path in files if path.is_file() and path.stat().st_size]


def _encode(path: Path, samples: np.ndarray) -> Path:
    import av

    container, codec = ENCODED[path.name]
    with contextlib.suppress(av.error.FFmpegError, ValueError), av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=48000)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE_HZ, Fraction(1, RATE_HZ), 0
        resampler = av.AudioResampler(stream.codec_context.format or "fltp", "mono", 48000, frame_size=960)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Content with one to eight changes, most of them in its header."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        at = draw.randrange(min(len(changed), draw.choice((16, 64, 256, 4096, len(changed)))) or 1)
        kind = draw.randrange(7)
        if kind == 0 and changed:
            changed[at % len(changed)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            width, order = draw.choice((1, 2, 4, 8)), draw.choice(("little", "big"))
            number = draw.choice(NUMBERS) & ((1 << 8 * width) - 1)
            changed[at : at + width] = number.to_bytes(width, order)
        elif kind == 2:
            changed[at : at + 8] = draw.randbytes(8)
        elif kind == 3:
            del changed[at : at + draw.choice((1, 2, 4, 16, 256))]
        elif kind == 4:
            changed[at:at] = changed[: draw.choice((4, 16, 64, 1024))]
        elif kind == 5:
            changed[at:at] = bytes(draw.choice((1, 4, 8, 4096)))
        else:
            del changed[draw.randrange(len(changed) + 1) :]
        if not changed:
            changed = bytearray(b"\0")
    return bytes(changed)


def read(path: Path) -> str:
    """Read a file and return its outcome, one of `KINDS`, with the error's class where it is foreign."""
    from vczoo.audio.reader import SoundReader
    from vczoo.errors import AudioError

    try:
        samples = SoundReader(path).whole()
    except AudioError:
        return "refused"
    except Exception as error:
        return f"foreign exception {type(error).__name__}: {str(error)[:200]}"
    return "read" if np.isfinite(samples).all() else "NaN"


def child(first: int, count: int, seed: int, output: int) -> None:
    """Read mutations from number `first` on, and write a line of JSON for each to a file descriptor."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name, os.fdopen(output, "w") as lines:
        folder = Path(name)
        seeds = seed_files(folder)
        readable = [path for path in seeds if read(path) == "read"]
        target = folder / "mutated.wav"
        for number in range(first, count):
            draw = random.Random(f"{seed}/{number}")
            source = draw.choice(readable if number % 4 else seeds)
            target.write_bytes(mutated(source.read_bytes(), draw))
            _forget_peak()
            start = time.perf_counter()
            outcome = read(target)
            seconds, megabytes = time.perf_counter() - start, _peak()
            lines.write(json.dumps([number, source.name, outcome, round(seconds, 2), round(megabytes)]) + "\n")
            lines.flush()


def attack(count: int, seed: int = 0, budget_seconds: float = 1e9) -> dict[str, Any]:
    """Read mutations in child processes; a child that crashes or hangs is replaced.

    Args:
        count: Number of mutations.
        seed: Seed of the mutations.
        budget_seconds: Stop after so many seconds.

    Returns:
        The number of each of `KINDS`, the largest number of seconds and of megabytes, and the bad cases.
    """
    counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    bad: list[Any] = []
    done, slowest, largest, began = 0, 0.0, 0.0, time.perf_counter()
    while done < count and time.perf_counter() - began < budget_seconds:
        for number, name, outcome, seconds, megabytes in _child(done, count, seed, began + budget_seconds):
            done = number + 1
            kind = "foreign exception" if outcome.startswith("foreign") else outcome
            counts[kind] += 1
            slowest, largest = max(slowest, seconds), max(largest, megabytes)
            counts["hang"] += kind != "hang" and seconds > SLOW_SECONDS
            counts["more than 1 GB"] += megabytes > LARGE_MB
            if kind not in ("read", "refused") or seconds > SLOW_SECONDS or megabytes > LARGE_MB:
                bad.append([number, name, outcome, seconds, megabytes])
    return {"files": done, **counts, "slowest_seconds": slowest, "largest_mb": largest, "seed": seed, "bad": bad[:50]}


def _child(first: int, count: int, seed: int, until: float) -> Iterator[tuple[int, str, str, float, float]]:
    """Yield the outcomes of one child, and of the file on which it crashed or hung, if it did."""
    outcomes, output = os.pipe()
    messages = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe would fill up and block the child
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, "--child", str(first), str(count), str(seed), str(output)],
        pass_fds=[output],
        stdout=subprocess.DEVNULL,
        stderr=messages,
        env=child_environment(1),
        cwd=ROOT,
    )
    os.close(output)
    next_number, fault = first, ""
    with os.fdopen(outcomes, "rb", buffering=0) as lines, selectors.DefaultSelector() as ready:
        ready.register(lines, selectors.EVENT_READ)
        rest = b""
        while time.perf_counter() < until:
            if not ready.select(STUCK_SECONDS):
                fault = "hang"
                break
            block = lines.read(65536)
            if not block:
                break
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                outcome = json.loads(line)
                next_number = outcome[0] + 1
                yield outcome
    process.kill()
    process.wait()
    with messages:
        messages.seek(max(0, messages.tell() - 300))
        errors = messages.read().decode(errors="replace")
    if not fault and next_number < count and time.perf_counter() < until:
        fault = "crash"
    if fault:
        yield next_number, errors, fault, STUCK_SECONDS * (fault == "hang"), 0.0


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    try:
        return status_megabytes("VmHWM")
    except OSError:
        return 0.0


def main(arguments: list[str] | None = None) -> None:
    """Attack, and print the counts."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["--child"]:
        first, count, seed, output = map(int, words[1:])
        child(first, count, seed, output)
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=63_000, help="Number of mutations.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the mutations.")
    parser.add_argument("--budget", type=float, default=1e9, help="Stop after so many seconds.")
    parser.add_argument("--out", type=Path, help="Also write the counts to this JSON file.")
    options = parser.parse_args(words)
    result = attack(options.count, options.seed, options.budget)
    print("\n".join(f"{name:20} {value}" for name, value in result.items() if name != "bad"))
    for case in result["bad"]:
        print("bad:", *case)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
