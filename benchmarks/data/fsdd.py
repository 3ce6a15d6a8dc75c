"""The Free Spoken Digit Dataset in; recordings of one length and a manifest out: 0 to 6 to learn, 7 to 9 for the test.

    <folder>/<speaker>/<digit>_<speaker>_<take>.wav

One length, so that every way to train can read the recordings as images of one size.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from benchmarks.quality.fsdd import HELD_OUT_DIGITS, VALIDATION_TAKES

SPLITS = ("train", "validation", "test")
HOP_SECONDS = 0.01  # a column of an image


def split_of(path: Path) -> str:
    digit, _, take = path.stem.split("_")
    return "test" if digit in HELD_OUT_DIGITS else "validation" if take in VALIDATION_TAKES else "train"


def choose(data: Path, limit: int | None) -> list[Path]:
    """The recordings, or about `limit` of each speaker, evenly over digits, takes and splits."""
    groups: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    of_speaker: defaultdict[str, int] = defaultdict(int)
    for path in sorted(data.resolve().glob("*/*.wav")):
        groups[path.parent.name, split_of(path)].append(path)
        of_speaker[path.parent.name] += 1
    found = []
    for (speaker, _), paths in groups.items():
        share = 1.0 if limit is None else min(1.0, limit / of_speaker[speaker])
        count = max(1, round(share * len(paths)))
        found += [paths[index * len(paths) // count] for index in range(count)]
    return found


def write_data(data: Path, folder: Path, columns: int, limit: int | None = None) -> dict[str, int]:
    """Write the recordings, cut or followed by silence to `columns` columns, and manifest.csv; utterances by split."""
    import numpy as np
    import soundfile

    rows, counts = ["path,speaker,split"], dict.fromkeys(SPLITS, 0)
    for path in choose(data, limit):
        samples, rate_hz = soundfile.read(path, dtype="float32")
        length = round((columns - 1) * HOP_SECONDS * rate_hz)
        samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
        speaker, split = path.parent.name, split_of(path)
        copy = folder / "recordings" / speaker / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(copy, samples, rate_hz, subtype="PCM_16")
        rows.append(f"{copy},{speaker},{split}")
        counts[split] += 1
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return counts
