"""Content probes: how well classifiers read speakers and digits from a backbone's frames, compared with log-mels.

In content that holds nothing of the speaker, speakers are near chance and digits are still readable. The tasks:
speakers of digits, on takes that were not trained on; speakers of sentences, on excerpts of one second from sentences
that were not trained on and that all speakers say; and digits, on takes and on a speaker that were not trained on. If a
backbone takes out each channel's mean and deviation, the linear classifier sees only the thirds of a recording: trust
the network then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import vczoo
from benchmarks.quality.probes import PROBES, Labelled, accuracy, chance
from benchmarks.quality.systems import Bench
from vczoo.models.build import build, checked_recipe
from vczoo.models.teacher import build_teacher

STRANGER = "theo"  # as in benchmarks.quality.tasks
VALIDATION_TAKES, TEST_TAKES = (13, 14), range(15, 20)
EXCERPT_SECONDS = 1.0
Features = Callable[[Path], vczoo.Frames]


@dataclass(frozen=True)
class Recording:
    """A file, its label in a task, and its split."""

    path: Path
    label: str
    split: str


@dataclass(frozen=True)
class Task:
    """Recordings to classify by label; with `excerpts`, cut into excerpts of one second."""

    name: str
    recordings: Sequence[Recording]
    excerpts: bool = False


def tasks(digits: Path, bench: Bench | None) -> list[Task]:
    """The three tasks: speakers of digits, speakers of sentences (with a bench) and digits."""
    takes = [(path, *path.stem.split("_")) for path in sorted(digits.resolve().glob("*/*.wav"))]
    split = {str(take): "validation" for take in VALIDATION_TAKES} | {str(take): "test" for take in TEST_TAKES}
    speakers = [Recording(path, speaker, split.get(take, "train")) for path, _, speaker, take in takes]
    all_tasks = [Task("speakers of digits", speakers)]
    if bench:
        all_tasks.append(Task("speakers of sentences", sentences(bench), excerpts=True))
    said = [
        Recording(path, digit, "stranger" if speaker == STRANGER else split.get(take, "train"))
        for path, digit, speaker, take in takes
    ]
    return [*all_tasks, Task("digits", said)]


def sentences(bench: Bench) -> list[Recording]:
    """Seven sentences of each target to train on, one for validation, two for the test."""
    rows = []
    for voice, paths in bench.references.matching.items():
        rows += [Recording(path, voice, "train") for path in paths[:-1]]
        rows.append(Recording(paths[-1], voice, "validation"))
    held_out = bench.references.held_out
    return rows + [Recording(path, speaker, "test") for speaker, paths in held_out.items() for path in paths]


def features_of(model: Any, teacher: Any = None) -> dict[str, Features]:
    """The inputs of the classifiers, by name: functions from a recording to its frames, (1, T, C)."""
    mel = vczoo.LogMel(vczoo.MelSpec())
    log_mels = cache(lambda path: mel(vczoo.Waveform.read(path, mel.spec.sample_rate_hz)))
    features: dict[str, Features] = {
        "log-mels": log_mels,
        "log-mels, normalised": lambda path: log_mels(path).normalise(),
        "content": lambda path: model.content(vczoo.Waveform.read(path, model.backbone.spec.sample_rate_hz)),
    }
    if teacher is not None:
        features["teacher"] = lambda path: teacher(vczoo.Waveform.read(path, teacher.spec.sample_rate_hz))
    return features


def teacher_of(use: str, weights: str, layer: int) -> Any:
    """The teacher of the content, or another backbone, from its name, its weights and the layer to read."""
    overrides = [f"teacher.use={use}", f"teacher.weights={weights}", f"teacher.layer={layer}"]
    recipe = checked_recipe("content-distil", overrides)
    return build_teacher(recipe, build(recipe, num_speakers=2))


@torch.no_grad()  # not inference_mode, whose tensors no classifier can be trained on
def sets(task: Task, frames_of: Features) -> dict[str, Labelled]:
    """Each split's recordings as frames, with their labels as indices into the sorted names."""
    names = sorted({recording.label for recording in task.recordings})
    frames: dict[str, list[Tensor]] = {}
    labels: dict[str, list[int]] = {}
    for recording in task.recordings:
        values = frames_of(recording.path).values[0]
        length = len(values)
        # The whole recording is encoded, as in a conversion, and cut afterwards.
        count = max(1, round(seconds(recording.path) / EXCERPT_SECONDS)) if task.excerpts else 1
        edges = [round(part * length / count) for part in range(count + 1)]
        for begin, end in pairwise(edges):
            frames.setdefault(recording.split, []).append(values[begin:end].float().clone())
            labels.setdefault(recording.split, []).append(names.index(recording.label))
    return {split: Labelled(frames[split], torch.tensor(labels[split])) for split in frames}


@cache
def seconds(path: Path) -> float:
    return vczoo.Waveform.read(path).seconds


def measure(all_tasks: Sequence[Task], features: Mapping[str, Features], seeds: int = 1) -> list[dict[str, Any]]:
    """Accuracy of each classifier on each kind of frames; for the network, the mean over seeds."""
    rows: list[dict[str, Any]] = []
    for name, uncached in features.items():
        frames_of = cache(uncached)
        for task in all_tasks:
            data = sets(task, frames_of)
            classes = len({recording.label for recording in task.recordings})
            for probe, train in PROBES.items():
                began = time.perf_counter()
                count = seeds if probe == "network" else 1
                trained = [train(data["train"], data["validation"], classes, seed) for seed in range(count)]
                for split in [split for split in ("test", "stranger") if split in data]:
                    accuracies = [accuracy(logits, data[split]) for logits in trained]
                    rows.append(
                        {
                            "task": task.name + (", unseen speaker" if split == "stranger" else ""),
                            "frames": name,
                            "classifier": probe,
                            "accuracy": sum(accuracies) / len(accuracies),
                            "chance": chance(data[split].labels),
                            "recordings": len(data[split].labels),
                            "seeds": len(accuracies),
                            "seconds": time.perf_counter() - began,
                        }
                    )
                    print("  ".join(f"{key} {value}" for key, value in text_of(rows[-1]).items()), flush=True)
    return rows


def text_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as printed."""
    return {
        "task": row["task"],
        "frames": row["frames"],
        "classifier": row["classifier"],
        "accuracy": f"{row['accuracy']:.3f}",
        "chance": f"{row['chance']:.3f}",
        "of": str(row["recordings"]),
        "s": f"{row['seconds']:.1f}",
    }
