"""Speech recognition and classification of spoken digits: recipes for texts and labels, with little training data.

    python -m benchmarks.quality.tasks --data FSDD --whisper FOLDER --efficientnet FILE

FSDD is a folder of the Free Spoken Digit Dataset, `<speaker>/<digit>_<speaker>_<take>.wav`. One speaker is in the test
only. Of the others, takes 0 to 13 are for training, 14 and 15 choose the epoch, and 16 to 19 are for the test.

Texts: each take by itself, and as many strings of two to four digits, joined from takes of one speaker and split with
pauses of 40 to 200 ms. The rows are fine-tunes of `whisper-tiny-ctc`, completely frozen, compared with the same with
random weights (the floor, by whose errors each row's are divided) and with small convolutions trained from scratch.
Labels: the digit of each single take, by `resnet18-emotion` with other backbones; chance is 0.1.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile

import vczoo
from vczoo.modules.error_rates import label_recall, text_error_rates
from vczoo.modules.interfaces.head import Prediction

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STRANGER = "theo"
PAUSES_SECONDS = (0.04, 0.2)
TASKS = ("text", "label")
FROZEN = ("freezing.use=full",)
Row = tuple[str, str, tuple[str, ...]]  # the name, the recipe and its overrides


def split_of(path: Path) -> str:
    _, speaker, take = path.stem.split("_")
    if speaker == STRANGER:
        return "stranger"
    return "train" if int(take) < 14 else "validation" if int(take) < 16 else "test"


def singles(data: Path) -> list[dict[str, str]]:
    """One row per take: path, speaker, split, text and label."""
    rows = []
    for path in sorted(data.resolve().glob("*/*.wav")):
        digit, speaker, _ = path.stem.split("_")
        said = DIGITS[int(digit)]
        rows.append({"path": str(path), "speaker": speaker, "split": split_of(path), "text": said, "label": said})
    return rows


def strings(rows: Sequence[Mapping[str, str]], folder: Path, seed: int = 0) -> Iterator[dict[str, str]]:
    """As many strings per speaker and split as it has takes, joined from takes of that speaker and split only."""
    random = Random(seed)
    groups: defaultdict[tuple[str, str], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row["speaker"], row["split"]].append(row)
    for (speaker, split), takes in groups.items():
        for number in range(len(takes)):
            chosen = random.sample(takes, min(len(takes), random.randint(2, 4)))
            pieces: list[np.ndarray[Any, Any]] = []
            for take in chosen:
                samples, rate_hz = soundfile.read(take["path"], dtype="float32")
                pieces += [samples, np.zeros(round(random.uniform(*PAUSES_SECONDS) * rate_hz), np.float32)]
            path = folder / speaker / f"{split}-{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.concatenate(pieces[:-1]), rate_hz, subtype="PCM_16")
            text = " ".join(take["text"] for take in chosen)
            yield {"path": str(path), "speaker": speaker, "split": split, "text": text}


def write_manifest(rows: Sequence[Mapping[str, str]], file: Path, columns: Sequence[str]) -> Path:
    """Write all rows but those of the unseen speaker, who is only in the test."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for row in rows if row["split"] != "stranger")
    return file


def rows_of(arguments: argparse.Namespace) -> dict[str, list[Row]]:
    """The rows of each task; the first one is the floor."""
    whisper = ("backbone.use=transformers/whisper-tiny.en", "backbone.layer=4", *FROZEN)
    timm = ("backbone.use=timm/tf_efficientnet_lite0.in1k", "backbone.time_stride=32", *FROZEN)
    scratch = ("backbone.use=mel-conv", "backbone.weights=random", "freezing.use=none", "training.backbone_rate=1")
    whisper_weights = f"backbone.weights={arguments.whisper}"
    timm_weights = f"backbone.weights={arguments.efficientnet}"
    return {
        "text": [
            ("whisper-tiny, random and frozen", "whisper-tiny-ctc", (*whisper, "backbone.weights=random")),
            ("mel-conv, from scratch", "whisper-tiny-ctc", scratch),
            ("whisper-tiny, pretrained and frozen", "whisper-tiny-ctc", (*whisper, whisper_weights)),
        ],
        "label": [
            ("efficientnet, random and frozen", "resnet18-emotion", (*timm, "backbone.weights=random")),
            ("mel-conv, from scratch", "resnet18-emotion", scratch),
            ("efficientnet, pretrained and frozen", "resnet18-emotion", (*timm, timm_weights)),
            ("whisper-tiny, pretrained and frozen", "resnet18-emotion", (*whisper, whisper_weights)),
        ],
    }


def measure(
    task: str, row: Row, data: Sequence[Mapping[str, str]], folder: Path, more: Sequence[str]
) -> dict[str, Any]:
    """Fine-tune, then transcribe or classify the recordings of the test and of the unseen speaker."""
    name, recipe, overrides = row
    manifest = write_manifest(data, folder / f"{task}.csv", ("path", "speaker", "split", task))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        out = Path(place) / "run"
        converter = vczoo.finetune(recipe, manifest, out, [*overrides, *more], cache=Path(place) / "cache")
    seconds = time.perf_counter() - began
    answers: defaultdict[str, list[Prediction]] = defaultdict(list)
    for item in data:
        if item["split"] not in ("test", "stranger"):
            continue
        if task == "text":
            output = converter.transcribe(item["path"])
            group = f"{item['split']}, {'strings' if ' ' in item['text'] else 'words'}"
        else:
            output, group = next(iter(converter.classify(item["path"]))), item["split"]
        for name_of_group in {item["split"], group}:
            answers[name_of_group].append(Prediction(item[task], output))
    by_group = {group: figures(task, own) for group, own in sorted(answers.items())}
    return {"task": task, "row": name, "figures": by_group, "epochs": converter.metrics["epochs"], "seconds": seconds}


def figures(task: str, answers: Sequence[Prediction]) -> dict[str, float]:
    own = text_error_rates(answers) if task == "text" else {"recall": label_recall(answers)}
    if task == "label":
        own["accuracy"] = sum(answer.reference == answer.predicted for answer in answers) / len(answers)
        own["error"] = 1 - own["accuracy"]
    return {**own, "utterances": len(answers)}


def show(results: Sequence[Mapping[str, Any]]) -> None:
    """Print a table per task, with each row's errors and their ratio to those of the floor."""
    for task, (main, *others) in {"text": ("wer", "cer"), "label": ("error", "accuracy", "recall")}.items():
        own = [result for result in results if result["task"] == task]
        if not own:
            continue
        print(
            f"\n{task}: {main}, its ratio to the first row's, {', '.join(others)}; epochs and seconds of the fine-tune"
        )
        for result in own:
            print(f"  {result['row']}  ({result['epochs']} epochs, {result['seconds']:.0f} s)")
            for group, values in result["figures"].items():
                floor = own[0]["figures"][group][main]
                ratio = values[main] / floor if floor else float("nan")
                rest = " ".join(f"{values[name]:.3f}" for name in others)
                print(f"    {group:18} {values[main]:.3f}  x {ratio:.3f}  {rest}  of {values['utterances']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of the Free Spoken Digit Dataset")
    parser.add_argument("--whisper", default="pretrained", help="a folder with Whisper tiny.en")
    parser.add_argument("--efficientnet", default="pretrained", help="a file with EfficientNet-Lite0")
    parser.add_argument("--task", action="append", choices=TASKS, help="by default both")
    parser.add_argument("--rows", nargs="*", help="only rows whose names contain one of these words")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tasks.json"))
    parser.add_argument("overrides", nargs="*", help="overrides for every recipe, like training.epochs=5")
    arguments = parser.parse_intermixed_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="vczoo-tasks-") as place:
        folder = Path(place)
        takes = singles(arguments.data)
        data = {"text": [*takes, *strings(takes, folder / "strings")], "label": takes}
        for task in arguments.task or TASKS:
            for row in rows_of(arguments)[task]:
                if arguments.rows is None or any(word in row[0] for word in arguments.rows):
                    results.append(measure(task, row, data[task], folder, arguments.overrides))
                    print(json.dumps(results[-1]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    show(results)


if __name__ == "__main__":
    main()
