"""Vocoder quality and speed on the same recordings: CPU time on one thread, and distances of copies to speech.

    python -m benchmarks.quality.vocoders --data SPEAKERS_FOLDER --vocoders griffin-lim:iterations=60 \\
        vocos/mel-24khz vocos/small-16khz:weights=runs/vocos/vocoder.safetensors

A vocoder is given by its name and, after a colon, its options, separated by commas. Griffin-Lim with its defaults is
always measured, and all ratios are to it. Each recording goes through every vocoder's own mel at its own rate, with the
vocoders in turn, so that the machine's drift affects all of them. Copies are compared at 16 kHz by the mean distance of
log-mels (vczoo's own, in nepers) and by multi-resolution STFT distance. Time is that of the vocoder only: CPU seconds
on one thread per second of speech, the best of several repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import torch

import vczoo
from vczoo.io.plain_yaml import parse_value
from vczoo.models.part_options import check_part
from vczoo.models.recipe import Part
from vczoo.training.vocoder.resynthesis import copy_through
from vczoo.training.vocoder.spectral_losses import MelDistance, StftDistance

RATE_HZ = 16000
BASELINE = "griffin-lim"
FIGURES = ("cpu_per_second", "mel", "stft")


def build(text: str) -> vczoo.Vocoder:
    name, _, listed = text.partition(":")
    options = dict(option.partition("=")[::2] for option in listed.split(",")) if listed else {}
    faults: list[str] = []
    ready = check_part(faults, text, "vocoder", Part(use=name, **{k: parse_value(v) for k, v in options.items()}))
    if ready is None:
        raise SystemExit("\n".join(faults))
    vocoder: vczoo.Vocoder = ready.make({})
    return vocoder.eval()


def measure(vocoder: vczoo.Vocoder, wave: vczoo.Waveform, repeats: int) -> dict[str, float]:
    assert isinstance(vocoder.accepts, vczoo.MelSpec)
    own = wave.resample(vocoder.accepts.sample_rate_hz)
    mel = vczoo.LogMel(vocoder.accepts)(own)
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        vocoder(mel)
        seconds.append(time.process_time() - began)
    copy = copy_through(vocoder, own).resample(RATE_HZ).samples[:, : wave.samples.shape[1]]
    real = wave.samples[:, : copy.shape[1]]
    return {
        "seconds": wave.seconds,
        "cpu_per_second": min(seconds) / wave.seconds,
        "mel": float(MelDistance(vczoo.MelSpec())(copy, real)),
        "stft": float(StftDistance()(copy, real)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/vctk-mini"), help="<speaker>/*.flac or *.wav")
    parser.add_argument("--speakers", type=int, default=4)
    parser.add_argument("--utterances", type=int, default=3, help="recordings per speaker, the last ones by name")
    parser.add_argument("--vocoders", nargs="*", default=[], help="NAME or NAME:OPTION=VALUE,…")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/vocoders.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = [BASELINE, *(name for name in arguments.vocoders if name != BASELINE)]
    vocoders = {name: build(name) for name in names}
    folders = sorted(path for path in arguments.data.iterdir() if path.is_dir())[: arguments.speakers]
    paths = [
        path
        for folder in folders
        for path in sorted(p for p in folder.iterdir() if p.suffix in {".flac", ".wav"})[-arguments.utterances :]
    ]
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        for number, path in enumerate([paths[0], *paths]):
            wave = vczoo.Waveform.read(path, RATE_HZ)
            for name, vocoder in vocoders.items():
                row = {"vocoder": name, "recording": str(path), **measure(vocoder, wave, arguments.repeats)}
                if number:  # the first pass also pays for lazy loading
                    rows.append(row)
    means: dict[str, dict[str, float]] = {}
    for name in names:
        own = [row for row in rows if row["vocoder"] == name]
        means[name] = {figure: sum(row[figure] for row in own) / len(own) for figure in FIGURES}
        means[name]["parameters"] = sum(parameter.numel() for parameter in vocoders[name].parameters())
    seconds = sum(row["seconds"] for row in rows) / len(names)
    print(f"{len(paths)} recordings of {len(folders)} speakers, {seconds:.0f} s; ratios are to {BASELINE}")
    print(f"{'CPU s/s':>9}{'ratio':>7}{'mel':>8}{'ratio':>7}{'stft':>8}{'ratio':>7}{'parameters':>12}  vocoder")
    for name, mean in means.items():
        cells = [f"{mean[figure]:{9 if figure == FIGURES[0] else 8}.3f}" for figure in FIGURES]
        ratios = [f"{mean[figure] / means[BASELINE][figure]:7.2f}" for figure in FIGURES]
        print("".join(map("".join, zip(cells, ratios, strict=True))) + f"{mean['parameters']:12,.0f}  {name}")
    result = {"means": means, "baseline": BASELINE, "torch": torch.__version__, "recordings": rows}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
