"""A backbone in; how well speakers and digits are read from its frames, beside the log-mels that it reads, out.

Content that has forgotten the speaker leaves speakers near chance, and digits readable. Speakers of digits: takes that
were not learnt from. Speakers of sentences: excerpts of a second, of sentences that were not learnt from and that all
of them say. Digits: such takes, and a speaker who was never heard. Of a backbone that takes each channel's mean and
deviation away, the linear classifier sees the thirds of a recording alone; the network is the one to trust.
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
Hear = Callable[[Path], vczoo.Frames]


@dataclass(frozen=True)
class Recording:
    """A file, what it is called in a task, and which set it belongs to."""

    path: Path
    label: str
    split: str


@dataclass(frozen=True)
class Task:
    """What is to be told; `excerpts` where recordings are cut into seconds."""

    name: str
    recordings: Sequence[Recording]
    excerpts: bool = False


def tasks(digits: Path, bench: Bench | None) -> list[Task]:
    """Speakers of digits and of sentences, and digits."""
    takes = [(path, *path.stem.split("_")) for path in sorted(digits.resolve().glob("*/*.wav"))]
    split = {str(take): "validation" for take in VALIDATION_TAKES} | {str(take): "test" for take in TEST_TAKES}
    found = [
        Task("speakers of digits", [Recording(path, who, split.get(take, "train")) for path, _, who, take in takes])
    ]
    if bench:
        found.append(Task("speakers of sentences", sentences(bench), excerpts=True))
    said = [
        Recording(path, digit, "stranger" if who == STRANGER else split.get(take, "train"))
        for path, digit, who, take in takes
    ]
    return [*found, Task("digits", said)]


def sentences(bench: Bench) -> list[Recording]:
    """Seven sentences of each target to learn from, one to choose by, two for the test."""
    rows = []
    for voice, paths in bench.references.matching.items():
        rows += [Recording(path, voice, "train") for path in paths[:-1]]
        rows.append(Recording(paths[-1], voice, "validation"))
    return rows + [Recording(path, who, "test") for who, paths in bench.references.held_out.items() for path in paths]


def listeners(model: Any, teacher: Any = None) -> dict[str, Hear]:
    """What the classifiers read, by name: a recording's frames, (1, T, C)."""
    mel = getattr(model.backbone, "mel", None) or vczoo.LogMel(vczoo.MelSpec())
    log_mels = cache(lambda path: mel(vczoo.Waveform.read(path, mel.spec.sample_rate_hz)))
    found: dict[str, Hear] = {
        "log-mels": log_mels,
        "log-mels, normalised": lambda path: log_mels(path).normalise(),
        "content": lambda path: model.content(vczoo.Waveform.read(path, model.backbone.spec.sample_rate_hz)),
    }
    if teacher is not None:
        found["teacher"] = lambda path: teacher(vczoo.Waveform.read(path, teacher.spec.sample_rate_hz))
    return found


def teacher_of(use: str, weights: str, layer: int) -> Any:
    """The backbone that taught the content, or another: a part's name, its weights, and the layer that is read."""
    given = [f"teacher.use={use}", f"teacher.weights={weights}", f"teacher.layer={layer}"]
    recipe = checked_recipe("base-content", given)
    return build_teacher(recipe, build(recipe, num_speakers=2))


@torch.no_grad()  # of tensors of inference mode no classifier could learn
def sets(task: Task, hear: Hear) -> dict[str, Labelled]:
    """The recordings of each set as frames, and their labels by their order."""
    names = sorted({recording.label for recording in task.recordings})
    frames: dict[str, list[Tensor]] = {}
    labels: dict[str, list[int]] = {}
    for recording in task.recordings:
        heard = hear(recording.path)
        values, length = heard.values[0], heard.values.shape[1]
        # Heard whole, as in a conversion, and cut afterwards.
        count = max(1, round(seconds(recording.path) / EXCERPT_SECONDS)) if task.excerpts else 1
        edges = [round(part * length / count) for part in range(count + 1)]
        for begin, end in pairwise(edges):
            frames.setdefault(recording.split, []).append(values[begin:end].float().clone())
            labels.setdefault(recording.split, []).append(names.index(recording.label))
    return {split: Labelled(frames[split], torch.tensor(labels[split])) for split in frames}


@cache
def seconds(path: Path) -> float:
    return vczoo.Waveform.read(path).seconds


def measure(all_tasks: Sequence[Task], hear: Mapping[str, Hear], seeds: int = 1) -> list[dict[str, Any]]:
    """Accuracy of each classifier on each kind of frames: of the network, the mean over seeds."""
    rows: list[dict[str, Any]] = []
    for name, listen in hear.items():
        listen = cache(listen)
        for task in all_tasks:
            known = sets(task, listen)
            classes = len({recording.label for recording in task.recordings})
            for probe, train in PROBES.items():
                began = time.perf_counter()
                tried = range(seeds if probe == "network" else 1)
                made = [train(known["train"], known["validation"], classes, seed) for seed in tried]
                for split in [split for split in ("test", "stranger") if split in known]:
                    found = [accuracy(logits, known[split]) for logits in made]
                    rows.append(
                        {
                            "task": task.name + (", unseen speaker" if split == "stranger" else ""),
                            "frames": name,
                            "classifier": probe,
                            "accuracy": sum(found) / len(found),
                            "chance": chance(known[split].labels),
                            "recordings": len(known[split].labels),
                            "seeds": len(found),
                            "seconds": time.perf_counter() - began,
                        }
                    )
                    print("  ".join(f"{key} {value}" for key, value in text_of(rows[-1]).items()), flush=True)
    return rows


def text_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as it is printed."""
    return {
        "task": row["task"],
        "frames": row["frames"],
        "classifier": row["classifier"],
        "accuracy": f"{row['accuracy']:.3f}",
        "chance": f"{row['chance']:.3f}",
        "of": str(row["recordings"]),
        "s": f"{row['seconds']:.1f}",
    }
