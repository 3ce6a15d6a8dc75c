"""Speaker accuracy on unseen digits: train on digits 0 to 6, test on 7 to 9, six speakers.

    python -m benchmarks.quality.fsdd --data FSDD_FOLDER --weights efficientnet-partialfreeze=WEIGHTS.safetensors

Each row is one fine-tune. A recipe with random weights is the baseline for the same recipe with pretrained ones.
FSDD_FOLDER is a copy of the Free Spoken Digit Dataset, `<speaker>/<digit>_<speaker>_<take>.wav`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import vczoo
from benchmarks.data.fsdd import HELD_OUT_DIGITS, VALIDATION_TAKES

ROWS = (
    ("efficientnet-partialfreeze", "pretrained"),
    ("efficientnet-partialfreeze", "random"),
    ("vgg16-partialfreeze", "random"),
)


def write_manifest(data: Path, file: Path) -> Path:
    rows = ["path,speaker,split"]
    for path in sorted(data.resolve().glob("*/*.wav")):
        digit, speaker, take = path.stem.split("_")
        split = "validation" if take in VALIDATION_TAKES else "train"
        rows.append(f"{path},{speaker},{'test' if digit in HELD_OUT_DIGITS else split}")
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of the Free Spoken Digit Dataset")
    parser.add_argument("--weights", action="append", default=[], help="RECIPE=FILE.safetensors for a pretrained row")
    parser.add_argument("--rows", nargs="*", help="only these rows: RECIPE:pretrained or RECIPE:random")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fsdd.json"))
    parser.add_argument("overrides", nargs="*", help="overrides for every recipe, like training.epochs=10")
    arguments = parser.parse_intermixed_args()
    files = dict(pair.split("=", 1) for pair in arguments.weights)
    results = []
    for recipe, weights in ROWS:
        if arguments.rows and f"{recipe}:{weights}" not in arguments.rows:
            continue
        folder = Path(tempfile.mkdtemp(prefix="vczoo-fsdd-"))
        source = files.get(recipe, weights) if weights == "pretrained" else weights
        overrides = [f"backbone.weights={source}", *arguments.overrides]
        began = time.perf_counter()
        try:
            manifest = write_manifest(arguments.data, folder / "manifest.csv")
            metrics = vczoo.finetune(recipe, manifest, folder / "run", overrides).metrics
        finally:
            shutil.rmtree(folder)
        results.append(
            {
                "recipe": recipe,
                "weights": weights,
                "test_accuracy": metrics["test"]["speaker.accuracy"],
                "validation_accuracy": metrics["validation"]["speaker.accuracy"],
                "epochs": metrics["epochs"],
                "seconds": round(time.perf_counter() - began, 1),
                "overrides": arguments.overrides,
            }
        )
        print(json.dumps(results[-1]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\n{'recipe':28} {'weights':11} {'test':>6} {'valid.':>7} {'epochs':>6} {'s':>7}   (chance {1 / 6:.3f})")
    for row in results:
        print(
            f"{row['recipe']:28} {row['weights']:11} {row['test_accuracy']:6.3f} {row['validation_accuracy']:7.3f} "
            f"{row['epochs']:6} {row['seconds']:7.1f}"
        )


if __name__ == "__main__":
    main()
