"""Start-up time: importing vczoo, listing and loading, compared with bare Python and with other libraries.

    python -m benchmarks.speed.startup

Whole processes, in turn, so that the machine's drift affects all of them; medians and ratios. `above Python` is the
time of a command beyond that of `python -c pass`. Three targets are checked: `import vczoo` takes at most 60 ms above
Python; `vczoo list` takes at most a tenth of `import timm`; and with 200 more plugins it takes at most 3 s and does not
import torch. Libraries that are not installed are left out by name.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.lib.child_process import child_environment
from benchmarks.speed.many_plugins import write_plugins

BARE, IMPORT, LIST, PEER = "python -c pass", "import vczoo", "vczoo list", "import timm"
IMPORT_SECONDS = 0.060
LIST_SHARE = 0.1
PLUGINS, PLUGINS_SECONDS = 200, 3.0
MANY = f"vczoo list, {PLUGINS} more plugins"
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


COMMANDS = {
    BARE: python("pass"),
    IMPORT: python("import vczoo"),
    LIST: [sys.executable, "-m", "vczoo", "list"],
    "vczoo list --parts": [sys.executable, "-m", "vczoo", "list", "--parts", "all"],
    'vczoo.load("demo")': python("import vczoo; vczoo.load('demo')"),
    **{f"import {library}": python(f"import {library}") for library in LIBRARIES},
}


def measure(runs: int) -> dict[str, list[float]]:
    """Seconds of every command that can run here, by name, without the first round, which fills the file cache."""
    missing = [f"import {library}" for library in LIBRARIES if importlib.util.find_spec(library) is None]
    if missing:
        print(f"left out, not installed: {', '.join(missing)}")
    seconds: dict[str, list[float]] = {name: [] for name in (*COMMANDS, MANY) if name not in missing}
    environment = child_environment()
    with tempfile.TemporaryDirectory() as folder:
        write_plugins(Path(folder), PLUGINS)
        commands = COMMANDS | {MANY: list_many(folder)}
        for round_ in range(runs + 1):
            for name in seconds:
                began = time.perf_counter()
                subprocess.run(commands[name], check=True, capture_output=True, env=environment)
                if round_:
                    seconds[name].append(time.perf_counter() - began)
    return seconds


def checks(medians: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Each target with its measured value, if its commands ran."""
    measured = {f"{IMPORT} above {BARE}, seconds": (medians[IMPORT] - medians[BARE], IMPORT_SECONDS)}
    if MANY in medians:
        measured[f"{MANY}, seconds"] = (medians[MANY], PLUGINS_SECONDS)
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
