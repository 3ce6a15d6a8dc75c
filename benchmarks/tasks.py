"""Speech recognition and labels of utterances, on spoken digits: the recipes, and what they are when little is known.

    python benchmarks/tasks.py --data FSDD --whisper FOLDER --efficientnet FILE

FSDD is a folder of the Free Spoken Digit Dataset, `<speaker>/<digit>_<speaker>_<take>.wav`. One speaker is heard in the
test alone; of the others, takes 0 to 13 are learnt from, 14 and 15 choose the epoch and 16 to 19 are the test.

Texts: each take by itself, and as many strings of two to four digits, joined from takes of one speaker and split with
pauses of 40 to 200 ms. Rows are fine-tunes of `whisper-tiny-ctc`, wholly frozen, against the same with random weights
(the floor: `ratio` is each row's word error over its), and against small convolutions that are trained from scratch.
Labels: the digit of each single take, by `resnet18-emotion` with another backbone or with random weights.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STRANGER = "theo"
PAUSES_SECONDS = (0.04, 0.2)
TASKS = ("text", "label")
# Rows of each task: a name, the recipe and what is overridden in it; the first is the one to compare with.
FROZEN = ("freezing.use=full",)
Row = tuple[str, str, tuple[str, ...]]


def split_of(path: Path) -> str:
    _, speaker, take = path.stem.split("_")
    if speaker == STRANGER:
        return "stranger"
    return "train" if int(take) < 14 else "validation" if int(take) < 16 else "test"


def singles(data: Path) -> list[dict[str, str]]:
    """A row for each take: path, speaker, split, text and label."""
    rows = []
    for path in sorted(data.resolve().glob("*/*.wav")):
        digit, speaker, _ = path.stem.split("_")
        said = DIGITS[int(digit)]
        rows.append({"path": str(path), "speaker": speaker, "split": split_of(path), "text": said, "label": said})
    return rows


def strings(rows: Sequence[Mapping[str, str]], folder: Path, seed: int = 0) -> Iterator[dict[str, str]]:
    """As many strings of each speaker and split as there are takes, of takes of that speaker and split alone."""
    random = Random(seed)
    groups: defaultdict[tuple[str, str], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row["speaker"], row["split"]].append(row)
    for (speaker, split), takes in groups.items():
        for number in range(len(takes)):
            chosen = random.sample(takes, random.randint(2, 4))
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
    """All but the stranger's, who is heard when training is over."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for row in rows if row["split"] != "stranger")
    return file


def rows_of(arguments: argparse.Namespace) -> dict[str, list[Row]]:
    whisper = f"backbone.weights={arguments.whisper}"
    timm = (*FROZEN, "backbone.use=timm/tf_efficientnet_lite0.in1k")
    scratch = ("backbone.use=mel-conv", "backbone.weights=random", "freezing.use=none", "training.backbone_rate=1")
    return {
        "text": [
            ("whisper-tiny, random and frozen", "whisper-tiny-ctc", ("backbone.weights=random",)),
            ("mel-conv, from scratch", "demo-text", scratch),
            ("whisper-tiny, pretrained and frozen", "whisper-tiny-ctc", (whisper,)),
        ],
        "label": [
            ("efficientnet, random and frozen", "resnet18-emotion", (*timm, "backbone.weights=random")),
            ("resnet18, from scratch", "resnet18-emotion", ("backbone.weights=random", "freezing.use=none")),
            (
                "efficientnet, pretrained and frozen",
                "resnet18-emotion",
                (*timm, f"backbone.weights={arguments.efficientnet}"),
            ),
        ],
    }


def main() -> None:
    pass


if __name__ == "__main__":
    main()
