"""How long it takes to answer: `import vczoo` and `vczoo list` beside bare Python, `import torch` and `import timm`.

    python benchmarks/startup.py

Whole processes, in turn, so that the machine's drift meets all of them; medians and ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import vczoo": [sys.executable, "-c", "import vczoo"],
    "vczoo list": [str(Path(sys.executable).parent / "vczoo"), "list"],
    "import torch": [sys.executable, "-c", "import torch"],
    "import timm": [sys.executable, "-c", "import timm"],
}
BASELINE = "import timm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/startup.json"))
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(arguments.runs + 1):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if run:  # the first round fills the file cache
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{'':18}{'median s':>10}{'over ' + BASELINE:>18}")
    for name, median in medians.items():
        print(f"{name:18}{median:10.3f}{median / medians[BASELINE]:18.4f}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"medians": medians, "seconds": seconds}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
