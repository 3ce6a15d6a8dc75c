"""The Free Spoken Digit Dataset, cut to one length and split: digits 0 to 6 to train on, 7 to 9 for the test.

    <folder>/<speaker>/<digit>_<speaker>_<take>.wav

All recordings get one length, so that every way to train can read them as images of one size.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

SPLITS = ("train", "validation", "test")
HELD_OUT_DIGITS = {"7", "8", "9"}
VALIDATION_TAKES = {"18", "19"}
HOP_SECONDS = 0.01  # one column of an image


def split_of(path: Path) -> str:
    digit, _, take = path.stem.split("_")
    return "test" if digit in HELD_OUT_DIGITS else "validation" if take in VALIDATION_TAKES else "train"


def choose(data: Path, limit: int | None) -> list[Path]:
    """All recordings, or about `limit` of each speaker, spread evenly over digits, takes and splits."""
    groups: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    of_speaker: defaultdict[str, int] = defaultdict(int)
    for path in sorted(data.resolve().glob("*/*.wav")):
        groups[path.parent.name, split_of(path)].append(path)
        of_speaker[path.parent.name] += 1
    chosen = []
    for (speaker, _), paths in groups.items():
        share = 1.0 if limit is None else min(1.0, limit / of_speaker[speaker])
        count = max(1, round(share * len(paths)))
        chosen += [paths[index * len(paths) // count] for index in range(count)]
    return chosen


def write_data(data: Path, folder: Path, columns: int, limit: int | None = None) -> dict[str, int]:
    """Write the recordings, cut or padded with silence to `columns` columns, and manifest.csv.

    Returns:
        The number of utterances in each split.
    """
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
