"""Pitch trackers compared: CPU time on one thread, voicing errors and pitch errors, against an exact reference.

    pip install pesto-pitch torchcrepe
    python -m benchmarks.quality.pitch --data SPEAKERS_FOLDER

The reference: WORLD analyzes real speech (Harvest's F0, its spectral envelope, its aperiodicity) and synthesizes it
again, so the F0 given to the synthesizer is that of the new recording. It is given none where the recording is quiet,
where WORLD's second opinion is that nothing is voiced, and in stretches of less than 30 ms. Trackers that report a
confidence and no decision get the threshold with the fewest voicing errors on each speaker's first utterance. All are
scored on the others: clean, in white noise, over a telephone, and over mains hum. Times are CPU seconds of the process
on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import numpy as np
import pyworld
import torch

import vczoo
from benchmarks.robustness.degradations import TELEPHONE_HZ, telephone
from vczoo.audio.pitch import PITCH_CENTRE_LOG_HZ, PITCH_SCALE, pitch_frames
from vczoo.audio.specs import MelSpec

RATE_HZ = 16000
STEP_SECONDS = 0.01
LOWEST_HZ, HIGHEST_HZ = 60.0, 600.0
GROSS = 0.2  # of the true F0
NOISE_DB = 20.0  # of speech above noise
HUM_HZ = 60.0  # as loud as the speech
QUIET_DB = 40.0  # below the loudest frame
SHORTEST_STEPS = 6  # of half a step each
THRESHOLDS = np.linspace(0.02, 0.98, 49)

Contour = tuple[np.ndarray, np.ndarray]  # F0 in Hz and the confidence that the frame is voiced, frame by frame
Tracker = Callable[[np.ndarray], Contour]


def decided(f0_hz: np.ndarray) -> Contour:
    return f0_hz, (f0_hz > 0).astype(float)


def dio(samples: np.ndarray) -> Contour:
    f0_hz, times = pyworld.dio(samples, RATE_HZ, LOWEST_HZ, HIGHEST_HZ, frame_period=1000 * STEP_SECONDS)
    return decided(pyworld.stonemask(samples, f0_hz, times, RATE_HZ))


def harvest(samples: np.ndarray) -> Contour:
    return decided(pyworld.harvest(samples, RATE_HZ, LOWEST_HZ, HIGHEST_HZ, frame_period=1000 * STEP_SECONDS)[0])


def ours(samples: np.ndarray) -> Contour:
    log_f0, voiced = pitch_frames(vczoo.Waveform.of(torch.from_numpy(samples), RATE_HZ), MelSpec()).values[0].numpy().T
    return np.exp(log_f0 * PITCH_SCALE + PITCH_CENTRE_LOG_HZ) * voiced, voiced


def pesto_tracker() -> Tracker:
    import pesto

    model = pesto.load_model("mir-1k_g7", step_size=1000 * STEP_SECONDS, sampling_rate=RATE_HZ)

    def track(samples: np.ndarray) -> Contour:
        with torch.inference_mode():
            f0_hz, confidence, *_ = model(torch.from_numpy(samples).float(), sr=RATE_HZ, convert_to_freq=True)
        return f0_hz.numpy().astype(float), confidence.numpy().astype(float)

    return track


def crepe_tracker(size: str) -> Tracker:
    import torchcrepe

    def track(samples: np.ndarray) -> Contour:
        f0_hz, confidence = torchcrepe.predict(
            torch.from_numpy(samples).float()[None],
            RATE_HZ,
            hop_length=round(STEP_SECONDS * RATE_HZ),
            fmin=LOWEST_HZ,
            fmax=HIGHEST_HZ,
            model=size,
            batch_size=256,
            device="cpu",
            return_periodicity=True,
        )
        return f0_hz[0].numpy().astype(float), confidence[0].numpy().astype(float)

    return track


TRACKERS: dict[str, Callable[[], Tracker]] = {
    "vczoo.audio.pitch": lambda: ours,
    "DIO + StoneMask": lambda: dio,
    "Harvest": lambda: harvest,
    "pesto": pesto_tracker,
    "torchcrepe tiny": lambda: crepe_tracker("tiny"),
    "torchcrepe full": lambda: crepe_tracker("full"),
}
SLOW = "torchcrepe full"  # a tenth of real time on one core, so it runs only on request


def resynthesize(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A recording resynthesized by WORLD and the F0 used for it: one value per step, 0 where unvoiced."""
    f0_hz, times = pyworld.harvest(samples, RATE_HZ, LOWEST_HZ, HIGHEST_HZ, frame_period=500 * STEP_SECONDS)
    envelope = pyworld.cheaptrick(samples, f0_hz, times, RATE_HZ)
    aperiodicity = pyworld.d4c(samples, f0_hz, times, RATE_HZ)
    power_db = 10 * np.log10(envelope.sum(axis=1))
    # Where the aperiodicity is 1, WORLD synthesizes noise, whatever the contour is.
    voiced = (f0_hz > 0) & (aperiodicity[:, 0] < 0.99) & (power_db > power_db.max() - QUIET_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], voiced, [False]])))
    for start, stop in edges.reshape(-1, 2):
        if stop - start < SHORTEST_STEPS:
            voiced[start:stop] = False
    f0_hz = np.where(voiced, f0_hz, 0.0)
    copy = pyworld.synthesize(f0_hz, envelope, aperiodicity, RATE_HZ, 500 * STEP_SECONDS)
    return copy[: samples.size], f0_hz[::2]


def in_noise(samples: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(samples.size)
    return samples + noise * np.sqrt(np.mean(samples**2)) * 10 ** (-NOISE_DB / 20)


def over_telephone(samples: np.ndarray) -> np.ndarray:
    wave = vczoo.Waveform.of(torch.from_numpy(telephone(samples)), TELEPHONE_HZ).resample(RATE_HZ)
    return wave.samples[0].double().numpy()


def over_hum(samples: np.ndarray) -> np.ndarray:
    hum = np.sin(2 * np.pi * HUM_HZ * np.arange(samples.size) / RATE_HZ)
    return samples + hum * np.sqrt(2 * np.mean(samples**2))


def joined(parts: Iterable[tuple[Contour, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F0, confidence and true F0 of several recordings, frame by frame."""
    columns: list[list[np.ndarray]] = [[], [], []]
    for (f0_hz, confidence), truth in parts:
        count = min(f0_hz.size, truth.size)
        for column, values in zip(columns, (f0_hz, confidence, truth), strict=True):
            column.append(values[:count])
    return tuple(np.concatenate(column) for column in columns)  # type: ignore[return-value]


def voicing_error(confidence: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    return float(np.mean((confidence > threshold) != (truth > 0)))


def score(f0_hz: np.ndarray, confidence: np.ndarray, truth: np.ndarray, threshold: float) -> dict[str, float]:
    detected, voiced = (confidence > threshold) & (f0_hz > 0), truth > 0
    both = detected & voiced
    ratio = f0_hz[both] / truth[both]
    gross = np.abs(ratio - 1) > GROSS
    octave = (np.abs(ratio / 2 - 1) < GROSS) | (np.abs(ratio * 2 - 1) < GROSS)
    return {
        "voicing_error": float(np.mean(detected != voiced)),
        "missed": float(np.mean(~detected[voiced])),
        "invented": float(np.mean(detected[~voiced])),
        "gross_error": float(np.mean(gross)),
        "octave_error": float(np.mean(octave)),
        "mean_cents": float(np.mean(np.abs(1200 * np.log2(ratio[~gross])))),
    }


def measure(name: str, utterances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    track = TRACKERS[name]()
    track(utterances[0]["inputs"]["clean"][:RATE_HZ])  # so that lazy loading is not timed
    rows = []
    threshold = 0.5
    for condition in utterances[0]["inputs"]:
        wall, cpu = time.perf_counter(), time.process_time()
        contours = [track(utterance["inputs"][condition]) for utterance in utterances]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        pairs = list(zip(contours, [utterance["truth"] for utterance in utterances], strict=True))
        if condition == "clean":
            _, confidence, truth = joined(p for p, u in zip(pairs, utterances, strict=True) if u["tunes"])
            if np.unique(confidence).size > 2:
                threshold = float(min(THRESHOLDS, key=lambda value: voicing_error(confidence, truth, value)))
        seconds = sum(utterance["inputs"]["clean"].size for utterance in utterances) / RATE_HZ
        scored = joined(p for p, u in zip(pairs, utterances, strict=True) if not u["tunes"])
        rows.append(
            {
                "tracker": name,
                "condition": condition,
                "cpu_per_second": cpu / seconds,
                "wall_per_second": wall / seconds,
                "threshold": threshold,
                **score(*scored, threshold),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/vctk-mini"), help="<speaker>/*.flac or *.wav")
    parser.add_argument("--utterances", type=int, default=3, help="recordings per speaker, at least 2")
    parser.add_argument("--speakers", type=int, default=4)
    parser.add_argument("--trackers", nargs="*", choices=TRACKERS, default=[name for name in TRACKERS if name != SLOW])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pitch.json"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    utterances: list[dict[str, Any]] = []
    for folder in sorted(path for path in arguments.data.iterdir() if path.is_dir())[: arguments.speakers]:
        paths = sorted(path for path in folder.iterdir() if path.suffix in {".flac", ".wav"})[: arguments.utterances]
        for index, path in enumerate(paths):
            samples = vczoo.Waveform.read(path, RATE_HZ).samples[0].double().numpy()
            clean, truth = resynthesize(samples)
            inputs = {
                "clean": clean,
                f"noise {NOISE_DB:g} dB": in_noise(clean, seed=len(utterances)),
                "telephone": over_telephone(clean),
                "hum": over_hum(clean),
            }
            utterances.append({"inputs": inputs, "truth": truth, "tunes": index == 0})
    truths = np.concatenate([utterance["truth"] for utterance in utterances if not utterance["tunes"]])
    print(
        f"{len(utterances)} utterances, {sum(u['inputs']['clean'].size for u in utterances) / RATE_HZ:.0f} s; scored: "
        f"{sum(not u['tunes'] for u in utterances)}, {truths.size} frames, {np.mean(truths > 0):.0%} voiced, "
        f"{truths[truths > 0].min():.0f} to {truths.max():.0f} Hz"
    )
    print(
        f"{'tracker':16} {'condition':12} {'CPU s/s':>8} {'voicing':>8} {'missed':>7} {'invented':>8} {'gross':>7} "
        f"{'octave':>7} {'cents':>6} {'threshold':>9}"
    )
    rows = []
    for name in arguments.trackers:
        for row in measure(name, utterances):
            rows.append(row)
            print(
                f"{name:16} {row['condition']:12} {row['cpu_per_second']:8.4f} {row['voicing_error']:8.3f} "
                f"{row['missed']:7.3f} {row['invented']:8.3f} {row['gross_error']:7.4f} {row['octave_error']:7.4f} "
                f"{row['mean_cents']:6.1f} {row['threshold']:9.2f}",
                flush=True,
            )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
