"""The corpus that `base` is trained on: a manifest of LibriSpeech and of Debian's Asterisk prompts.

    apt-get install ffmpeg asterisk-core-sounds-{en,es,fr,it,ru}-g722
    python -m benchmarks.data.base_model_corpus --librispeech LIBRISPEECH [--readers CLEAN5] --out corpus

LIBRISPEECH is a folder `<speaker>/*.flac` of many readers with one recording each; every 16th is for validation only.
CLEAN5 is a folder `<speaker>/*.ogg` of some of these readers with many recordings each. With --readers,
those in `KEPT_OUT` are left out of both, so that the model can be measured on them. The prompts are five voices at
16 kHz in G.722 (CC BY-SA 3.0, the Russian ones CC BY 3.0), one folder per voice, in /usr/share/asterisk/sounds or
--prompts. They are joined into recordings of ten seconds, and every 16th of these is for validation. vocoder.csv lists
all but the Opus files of CLEAN5: a vocoder must not learn from what the compression left.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16000
HELD_OUT = 16
KEPT_OUT = frozenset({"19", "1970", "6272", "118", "3664", "8629"})  # three women and three men of CLEAN5
JOINED_SECONDS, PAUSE_SECONDS = 10.0, 0.1


def main() -> None:
    """Decode and join the prompts, and list all recordings in corpus.csv, and those for the vocoder in vocoder.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--librispeech", type=Path, required=True, help="a folder SPEAKER/*.flac")
    parser.add_argument("--readers", type=Path, help="a folder SPEAKER/*.ogg")
    parser.add_argument("--prompts", type=Path, default=Path("/usr/share/asterisk/sounds"), help="VOICE/**/*.g722")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the joined prompts and corpus.csv")
    arguments = parser.parse_args()
    kept_out = KEPT_OUT if arguments.readers else frozenset()
    rows = [row for row in listed(arguments.librispeech, "*.flac") if row[1] not in kept_out]
    for_validation = set(sorted({speaker for _, speaker, _ in rows})[::HELD_OUT])
    if arguments.readers:
        rows += [row for row in listed(arguments.readers, "*.ogg") if row[1] not in kept_out | for_validation]
    rows = [(path, speaker, "validation" if speaker in for_validation else split) for path, speaker, split in rows]
    speakers = {speaker for _, speaker, _ in rows}
    voices = voices_of(arguments.prompts)
    for voice in voices:
        for number, file in enumerate(join(voice, arguments.out / voice.name)):
            split = "validation" if number % HELD_OUT == HELD_OUT - 1 else "train"
            rows.append((str(file.resolve()), voice.name, split))
    write(arguments.out / "corpus.csv", rows)
    write(arguments.out / "vocoder.csv", [row for row in rows if not row[0].endswith(".ogg")])
    print(f"{len(rows)} recordings of {len(speakers) + len(voices)} speakers: {arguments.out / 'corpus.csv'}")


def write(file: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write a manifest."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("path", "speaker", "split"))
        writer.writerows(rows)


def listed(folder: Path, pattern: str) -> list[tuple[str, str, str]]:
    """The recordings of a folder SPEAKER/*, as rows of the manifest."""
    speakers = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        (str(file.resolve()), speaker.name, "train") for speaker in speakers for file in sorted(speaker.glob(pattern))
    ]


def voices_of(prompts: Path) -> list[Path]:
    """The folders of prompts, each once: Debian links each voice twice more under its language (en, en_US)."""
    folders = (path for path in prompts.iterdir() if not path.is_symlink())
    voices = sorted(path for path in folders if any(path.rglob("*.g722")))
    if not voices:
        raise SystemExit(f"{prompts}: no folder of .g722 files; install asterisk-core-sounds-en-g722 and others")
    return voices


def join(voice: Path, out: Path) -> list[Path]:
    """The prompts of a voice as recordings of about ten seconds each."""
    out.mkdir(parents=True, exist_ok=True)
    prompts = sorted(path for path in voice.rglob("*.g722") if path.parent.name != "silence")
    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(decode, prompts))
    recordings: list[Path] = []
    parts: list[np.ndarray] = []
    for number, samples in enumerate(decoded, 1):
        parts += [samples, np.zeros(round(PAUSE_SECONDS * RATE_HZ), np.float32)]
        if sum(map(len, parts)) > JOINED_SECONDS * RATE_HZ or number == len(decoded):
            recordings.append(out / f"{len(recordings):03}.flac")
            soundfile.write(recordings[-1], np.concatenate(parts).clip(-1, 1), RATE_HZ)
            parts = []
    return recordings


def decode(file: Path) -> np.ndarray:
    """Decode a raw G.722 file, which states neither its rate nor its format, to (S,) at 16 kHz."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "g722",
        "-i",
        str(file),
        "-f",
        "f32le",
        "-ac",
        "1",
        "-ar",
        str(RATE_HZ),
        "-",
    ]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32)


if __name__ == "__main__":
    main()
