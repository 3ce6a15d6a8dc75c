"""Files and folders that nobody records: each door of vczoo refuses them, or reads them, in bounded time and memory.

python -m benchmarks.robustness.odd_files
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.lib.child_process import ROOT, child_environment, status_megabytes

LIMIT_SECONDS, LIMIT_MB = 120.0, 1100.0  # of a door; beyond what the process took before
RATE_HZ = 16000
SOUND = (0.3 * np.sin(np.arange(RATE_HZ) / 20)).astype(np.float32)
DOORS = ("read", "mark", "embed", "enroll", "convert", "corpus")


def wav(samples: int, *, rate_hz: int = RATE_HZ, channels: int = 1, stated: int | None = None) -> bytes:
    """A 16-bit WAV of a constant.

    Args:
        samples: Number of samples of each channel.
        rate_hz: Sample rate in its header.
        channels: Number of channels in its header.
        stated: Number of bytes in its header; None for the true one.
    """
    sound = b"\x10\x20" * (samples * channels)
    length = len(sound) if stated is None else stated
    block = 2 * channels & 0xFFFF
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate_hz, rate_hz * block & 0xFFFFFFFF, block, 16)
    body = b"WAVE" + header + b"data" + struct.pack("<I", length) + sound
    return b"RIFF" + struct.pack("<I", min(len(body) - 8 + length, 2**32 - 1)) + body


def bytes_of(path: Path, content: bytes, size: int | None = None) -> None:
    """Write a file, and make it sparse up to `size` bytes."""
    path.write_bytes(content)
    if size:
        os.truncate(path, size)


def flac_bomb(path: Path, hours: float = 20.0) -> None:
    """Hours of a constant in two megabytes."""
    block = np.full(8000 * 600, 0.25, np.float32)
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        for _ in range(round(hours * 6)):
            file.write(block)


def flac_without_length(path: Path) -> None:
    """The same, whose header does not state its length."""
    flac_bomb(path)
    with path.open("rb+") as file:
        file.seek(21)
        first = file.read(1)[0] & 0xF0
        file.seek(21)
        file.write(bytes([first, 0, 0, 0, 0]))


def joined_ogg(path: Path) -> None:
    """Fifty OGG files in one."""
    soundfile.write(path, SOUND, RATE_HZ, format="OGG")
    path.write_bytes(path.read_bytes() * 50)


CASES: dict[str, Callable[[Path], Any]] = {
    "1 Hz": lambda path: bytes_of(path, wav(60_000, rate_hz=1)),
    "500 Hz": lambda path: bytes_of(path, wav(60_000, rate_hz=500)),
    "0 Hz": lambda path: bytes_of(path, wav(60_000, rate_hz=0)),
    "1e9 Hz": lambda path: bytes_of(path, wav(60_000, rate_hz=10**9)),
    "4e9 Hz": lambda path: bytes_of(path, wav(60_000, rate_hz=4 * 10**9)),
    "1000 channels": lambda path: bytes_of(path, wav(3000, channels=1000)),
    "65535 channels": lambda path: bytes_of(path, wav(10, channels=65535)),
    "4 GB stated": lambda path: bytes_of(path, wav(60_000, stated=2**32 - 100)),
    "sparse WAV of 3 GB": lambda path: bytes_of(path, wav(0, rate_hz=44100, stated=3 * 10**9 - 44), 3 * 10**9),
    "RIFF and 3 GB of zeros": lambda path: bytes_of(path, b"RIFF\0\0\0\0WAVE", 3 * 10**9),
    "FORM and 3 GB of zeros": lambda path: bytes_of(path, b"FORM\0\0\0\0AIFF", 3 * 10**9),
    "OGG and 3 GB of zeros": lambda path: bytes_of(path, b"OggS\0\2" + bytes(30), 3 * 10**9),
    "fLaC and 3 GB of zeros": lambda path: bytes_of(path, b"fLaC\0\0\0\x22" + bytes(34), 3 * 10**9),
    "ftyp and 3 GB of zeros": lambda path: bytes_of(path, b"\0\0\0\x10ftypmp42\0\0\0\0", 3 * 10**9),
    "a million MP4 boxes": lambda path: bytes_of(path, b"\0\0\0\x08ftyp" * 1_000_000),
    "2,000 joined WAVs": lambda path: bytes_of(path, wav(100) * 2000),
    "50 joined OGGs": joined_ogg,
    "FLAC of 20 hours": flac_bomb,
    "FLAC of 20 hours without a length": flac_without_length,
    "SDS": lambda path: soundfile.write(path, SOUND, RATE_HZ, format="SDS"),
    "MAT5": lambda path: soundfile.write(path, SOUND, RATE_HZ, format="MAT5"),
    "random bytes": lambda path: bytes_of(path, np.random.default_rng(0).bytes(10**6)),
    "a pipe": os.mkfifo,
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "/dev/tty": lambda path: path.symlink_to("/dev/tty"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a folder": Path.mkdir,
    "a playlist": lambda path: bytes_of(path, b"#EXTM3U\n/etc/passwd\n"),
    "an FFmpeg script": lambda path: bytes_of(path, b"ffconcat version 1.0\nfile /etc/passwd\n"),
}


def open_door(door: str, path: Path) -> None:
    """Give a recording to one of `DOORS`."""
    import vczoo

    if door == "read":
        vczoo.Waveform.read(path)
    elif door == "mark":
        vczoo.read_mark(path)
    elif door == "corpus":
        vczoo.read_corpus(path.parent.parent, validation=0, test=0)
    else:
        converter = vczoo.load("base")
        if door == "embed":
            converter.embed(path)
        elif door == "enroll":
            converter.enroll("somebody", path)
        else:
            converter.convert(path, "woman-1")


def child(case: str, doors: list[str], folder: Path) -> None:
    """Open some doors, and print the outcome of each, its seconds and its megabytes as a line of JSON."""
    import vczoo
    from vczoo.errors import VczooError

    warnings.simplefilter("ignore")
    vczoo.load("base")
    for door in doors:
        before, start, outcome = forget_peak(), time.perf_counter(), "read"
        try:
            open_door(door, folder / "somebody" / "odd.wav")
        except VczooError as error:
            outcome = f"refused: {str(error).splitlines()[-1].rpartition('odd.wav: ')[2][:90]}"
        except Exception as error:
            outcome = f"FOREIGN {type(error).__name__}: {str(error)[:90]}"
        seconds, megabytes = time.perf_counter() - start, status_megabytes("VmHWM") - before
        print(json.dumps([case, door, outcome, round(seconds, 1), round(megabytes)]), flush=True)


def forget_peak() -> float:
    """Let the peak memory of this process begin anew, and return what it holds now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return status_megabytes("VmRSS")


def attack(cases: list[str], doors: list[str]) -> Iterator[list[Any]]:
    """Give each case to each door, each case in a process of its own.

    Yields:
        For each: case, door, outcome, seconds, and megabytes beyond those of a loaded model.
    """
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            folder, left = Path(name), list(doors)
            (folder / "somebody").mkdir()
            CASES[case](folder / "somebody" / "odd.wav")
            while left:
                command = [sys.executable, "-m", __spec__.name, "--child", case, str(folder), *left]
                with (folder / "output").open("w+") as output:
                    process = subprocess.Popen(
                        command,
                        stdout=output,
                        stderr=subprocess.DEVNULL,
                        stdin=subprocess.DEVNULL,
                        env=child_environment(1),
                        cwd=ROOT,
                    )
                    try:
                        fault = f"CRASH {process.wait(LIMIT_SECONDS * len(left))}"
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                        fault = "HANG"
                    output.seek(0)
                    rows = [json.loads(line) for line in output if line.startswith("[")]
                yield from rows
                left = left[len(rows) :]
                if left:
                    yield [case, left.pop(0), fault, 0.0, 0]


def is_bad(row: list[Any]) -> bool:
    """Whether an outcome is a foreign error, a crash, a hang, or much more than 1 GB."""
    return row[2].startswith(("FOREIGN", "CRASH", "HANG")) or row[4] > LIMIT_MB


def main(arguments: list[str] | None = None) -> None:
    """Attack, and print a line for each case and door."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["--child"]:
        child(words[1], words[3:], Path(words[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=list(CASES), help="Only this case; repeatable.")
    parser.add_argument("--door", action="append", choices=DOORS, help="Only this door; repeatable.")
    parser.add_argument("--out", type=Path, help="Also write the rows to this JSON file.")
    options = parser.parse_args(words)
    rows = []
    for row in attack(options.case or list(CASES), options.door or list(DOORS)):
        rows.append(row)
        case, door, outcome, seconds, megabytes = row
        print(f"{case:36} {door:8} {seconds:5.1f} s {megabytes:6} MB  {outcome}", flush=True)
    print(f"{len(rows)} attempts, {sum(map(is_bad, rows))} bad")
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
