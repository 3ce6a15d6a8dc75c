"""Start-up time: importing vczoo, listing and loading, compared with bare Python and with other libraries.

    python -m benchmarks.speed.startup

Whole processes on one thread, in turn, so that the machine's drift affects all of them. The figures are medians of CPU
seconds, which depend less than wall time on what else the machine does. `above Python` is the time of a command beyond
that of `python -c pass`. Five targets are checked: `import vczoo` takes at most 60 ms above Python; `vczoo list` takes
at most a tenth of `import timm`; with 200 more plugins it takes at most 3 s and does not import torch; the conversion
of a recording of 6 s by the bundled model takes at most twice as long as `import torch`; and `load("base")` takes at
most 0.3 s more than its imports. Libraries that are not installed are left out by name.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.lib.child_process import child_environment
from benchmarks.speed.many_plugins import write_plugins

BARE, IMPORT, LIST, PEER = "python -c pass", "import vczoo", "vczoo list", "import timm"
IMPORT_SECONDS = 0.060
LIST_SHARE = 0.1
PLUGINS, PLUGINS_SECONDS = 200, 3.0
MANY = f"vczoo list, {PLUGINS} more plugins"
TORCH, CONVERT, CONVERT_SHARE = "import torch", "vczoo convert base, 6 s", 2.0
LOAD, LOAD_IMPORTS, LOAD_SECONDS = 'vczoo.load("base")', "the imports of vczoo.load", 0.3
RATE_HZ, SECONDS = 16000, 6
LIBRARIES = ("torch", "torchvision", "timm", "transformers")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def list_many(folder: str) -> list[str]:
    """A command that lists with a folder's plugins, and fails if one is missing or torch is imported."""
    return python(
        f"import sys; sys.path.append({folder!r})\n"
        "from vczoo.cli.app import app\napp(['list'], standalone_mode=False)\n"
        f"import vczoo\nassert len(vczoo.list_models('many*-demo')) == {PLUGINS}\n"
        "assert 'torch' not in sys.modules"
    )


def convert(folder: Path) -> list[str]:
    """A command that converts a recording of a buzz whose pitch and level change as in speech."""
    time = np.arange(RATE_HZ * SECONDS) / RATE_HZ
    phase = np.cumsum(2 * np.pi * (150 + 30 * np.sin(2 * np.pi * 0.7 * time)) / RATE_HZ)
    buzz = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))
    recording = folder / "buzz.wav"
    soundfile.write(recording, 0.2 * buzz * np.sin(2 * np.pi * 1.5 * time) ** 2, RATE_HZ)
    output = ["--out", str(folder / "converted.wav"), "--overwrite"]
    return [sys.executable, "-m", "vczoo", "convert", "base", str(recording), "--voice", str(recording), *output]


COMMANDS = {
    BARE: python("pass"),
    IMPORT: python("import vczoo"),
    LIST: [sys.executable, "-m", "vczoo", "list"],
    "vczoo list --parts": [sys.executable, "-m", "vczoo", "list", "--parts", "all"],
    'vczoo.load("demo")': python("import vczoo; vczoo.load('demo')"),
    LOAD_IMPORTS: python("import vczoo; vczoo.load"),
    LOAD: python("import vczoo; vczoo.load('base')"),
    **{f"import {library}": python(f"import {library}") for library in LIBRARIES},
}


def measure(runs: int) -> dict[str, list[float]]:
    """CPU seconds of each command that can run here, by name, without the first round, which fills the file cache."""
    missing = [f"import {library}" for library in LIBRARIES if importlib.util.find_spec(library) is None]
    if missing:
        print(f"left out, not installed: {', '.join(missing)}")
    seconds: dict[str, list[float]] = {name: [] for name in (*COMMANDS, MANY, CONVERT) if name not in missing}
    environment = child_environment(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        write_plugins(Path(folder), PLUGINS)
        commands = COMMANDS | {MANY: list_many(folder), CONVERT: convert(Path(folder))}
        for round_ in range(runs + 1):
            for name in seconds:
                began = cpu_seconds()
                subprocess.run(commands[name], check=True, capture_output=True, env=environment)
                if round_:
                    seconds[name].append(cpu_seconds() - began)
    return seconds


def cpu_seconds() -> float:
    """CPU seconds, in user and system mode, of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def checks(medians: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Each target with its measured value, if its commands ran."""
    measured = {f"{IMPORT} above {BARE}, seconds": (medians[IMPORT] - medians[BARE], IMPORT_SECONDS)}
    if MANY in medians:
        measured[f"{MANY}, seconds"] = (medians[MANY], PLUGINS_SECONDS)
    if CONVERT in medians:
        measured[f"{CONVERT}, over {TORCH}"] = (medians[CONVERT] / medians[TORCH], CONVERT_SHARE)
        measured[f"{LOAD} above {LOAD_IMPORTS}, seconds"] = (medians[LOAD] - medians[LOAD_IMPORTS], LOAD_SECONDS)
    if PEER in medians:
        measured[f"{LIST} over {PEER}"] = (medians[LIST] / medians[PEER], LIST_SHARE)
    return {
        name: {"measured": value, "at_most": limit, "holds": value <= limit}
        for name, (value, limit) in measured.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/startup.json"))
    arguments = parser.parse_args()
    seconds = measure(arguments.runs)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    peer = medians.get(PEER)
    print(f"{'':30}{'median s':>10}{'above Python':>14}{'over ' + PEER:>18}")
    for name, median in medians.items():
        share = f"{median / peer:18.4f}" if peer else ""
        print(f"{name:30}{median:10.3f}{median - medians[BARE]:14.3f}{share}")
    outcome = checks(medians)
    for name, check in outcome.items():
        print(f"{name}: {check['measured']:.3f}, at most {check['at_most']}: {'yes' if check['holds'] else 'NO'}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(
        json.dumps({"medians": medians, "checks": outcome, "seconds": seconds}, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
