"""Griffin-Lim compared with torchaudio's, part by part: CPU time on one thread, and three distances.

    python -m benchmarks.speed.griffin_lim --data ../shared/data/vctk-mini

The mel of each recording goes through every variant, in turn, so that the machine's drift affects all of them.
`convergence`: distance of the resulting spectrogram from the magnitudes asked for (dB, lower is closer); `mel`: mean
distance of log-mels to the recording (nepers); `stft`: multi-resolution STFT distance. Ratios are to torchaudio's, with
the iterations and momentum that vczoo used before.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import torch
from torch import Tensor
from torchaudio.functional import griffinlim

import vczoo
from vczoo.modules.vocoders import griffin_lim
from vczoo.modules.vocoders.griffin_lim import GriffinLim
from vczoo.training.vocoder.spectral_losses import MelDistance, StftDistance

RATE_HZ = 16000
BASELINE = "torchaudio, 32 iterations"
FIGURES = ("cpu_per_second", "convergence", "mel", "stft")
Start = Callable[[Tensor, int, int], Tensor]


def zero_phase(magnitudes: Tensor, fft_length: int, hop_length: int) -> Tensor:
    return torch.zeros_like(magnitudes)


def bin_advance(magnitudes: Tensor, fft_length: int, hop_length: int) -> Tensor:
    """Phases of a sinusoid at the center frequency of each bin."""
    bins, frames = torch.arange(magnitudes.shape[1]).double(), torch.arange(len(magnitudes)).double()
    return ((frames[:, None] * bins * hop_length / fft_length).frac() * 2 * math.pi).float()


def gradient_advance(magnitudes: Tensor, fft_length: int, hop_length: int) -> Tensor:
    """Phase derivative in time from the log-magnitude's derivative in frequency: PGHI without its heap (Průša 2017)."""
    logarithm, gamma = magnitudes.clamp(min=1e-5).log(), 0.25645 * fft_length**2
    slope = torch.zeros_like(logarithm)
    slope[:, 1:-1] = (logarithm[:, 2:] - logarithm[:, :-2]) / 2
    advance = torch.arange(magnitudes.shape[1]) / fft_length + fft_length / gamma * slope / (2 * math.pi)
    return ((advance.double() * hop_length).cumsum(0).frac() * 2 * math.pi).float()


@contextmanager
def starting(start: Start | None) -> Iterator[None]:
    before = griffin_lim.spsi_phases
    griffin_lim.spsi_phases = start or before
    try:
        yield
    finally:
        griffin_lim.spsi_phases = before


def ours(mel: vczoo.Frames, vocoder: GriffinLim, start: Start | None = None) -> Tensor:
    with starting(start):
        return vocoder(mel).samples


def torchaudios(mel: vczoo.Frames, vocoder: GriffinLim, iterations: int) -> Tensor:
    samples: Tensor = griffinlim(
        (mel.values.exp() @ vocoder.inverse).clamp(min=0).transpose(1, 2),
        window=vocoder.window,
        n_fft=vocoder.accepts.fft_length,
        hop_length=vocoder.accepts.hop_length,
        win_length=vocoder.accepts.fft_length,
        power=1.0,
        n_iter=iterations,
        momentum=0.99,
        length=(mel.values.shape[1] - 1) * vocoder.accepts.hop_length,
        rand_init=False,
    )
    return samples


def variants() -> dict[str, Callable[[vczoo.Frames], Tensor]]:
    plain = GriffinLim()
    by_name: dict[str, Callable[[vczoo.Frames], Tensor]] = {
        BASELINE: partial(torchaudios, vocoder=plain, iterations=32),
        "torchaudio, 16 iterations": partial(torchaudios, vocoder=plain, iterations=16),
        "griffin-lim": partial(ours, vocoder=plain),
    }
    starts = {"zero phases": zero_phase, "bins": bin_advance, "gradient": gradient_advance}
    for name, start in starts.items():
        by_name[f"16 iterations from {name}"] = partial(ours, vocoder=plain, start=start)
    for iterations in (4, 8, 12, 32):
        by_name[f"{iterations} iterations"] = partial(ours, vocoder=GriffinLim(iterations=iterations))
    for momentum in (0.0, 0.5, 0.99):
        by_name[f"momentum {momentum}"] = partial(ours, vocoder=GriffinLim(momentum=momentum))
    return by_name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/vctk-mini"), help="<speaker>/*.flac or *.wav")
    parser.add_argument("--utterances", type=int, default=2, help="recordings per speaker, the last ones by name")
    parser.add_argument("--batch", type=int, default=8, help="excerpts of 4 s per batch")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/griffin_lim.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = [
        path
        for folder in sorted(path for path in arguments.data.iterdir() if path.is_dir())
        for path in sorted(p for p in folder.iterdir() if p.suffix in {".flac", ".wav"})[-arguments.utterances :]
    ]
    log_mel, plain = vczoo.LogMel(vczoo.MelSpec()), GriffinLim()
    distances = {"mel": MelDistance(vczoo.MelSpec()), "stft": StftDistance()}
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        for number, path in enumerate([paths[0], *paths]):
            wave = vczoo.Waveform.read(path, RATE_HZ)
            mel, length = log_mel(wave), wave.samples.shape[1]
            target = (mel.values.exp() @ plain.inverse).clamp(min=0)[0].T
            for name, make in variants().items():
                began = time.process_time()
                samples = make(mel)
                seconds = time.process_time() - began
                actual = torch.stft(
                    samples[0], 1024, 160, window=plain.window, pad_mode="constant", return_complex=True
                ).abs()
                copy = torch.nn.functional.pad(samples, (0, length - samples.shape[1]))
                row = {
                    "variant": name,
                    "recording": str(path),
                    "cpu_per_second": seconds / wave.seconds,
                    "convergence": 20 * math.log10(float((actual - target).norm() / target.norm())),
                    **{figure: float(of(copy, wave.samples)) for figure, of in distances.items()},
                }
                if number:  # the first pass also pays for lazy loading
                    rows.append(row)
        excerpts = [wave.samples[0, :64000] for wave in (vczoo.Waveform.read(path, RATE_HZ) for path in paths)]
        excerpts = [excerpt for excerpt in excerpts if len(excerpt) == 64000] or excerpts[:1]
        one = log_mel(vczoo.Waveform.of(torch.stack([excerpts[0]] * arguments.batch), RATE_HZ))
        batches = {
            "torchaudio, one by one": lambda: [torchaudios(one[i], plain, 32) for i in range(len(one))],
            "torchaudio, a batch of equal lengths": lambda: torchaudios(one, plain, 32),
            "griffin-lim": lambda: plain(one),
        }
        times = dict.fromkeys(batches, math.inf)
        for _ in range(3):
            for name, run in batches.items():
                began = time.process_time()
                run()
                times[name] = min(times[name], (time.process_time() - began) / (len(one) * len(excerpts[0]) / RATE_HZ))
    means = {
        name: {figure: sum(row[figure] for row in rows if row["variant"] == name) / len(paths) for figure in FIGURES}
        for name in variants()
    }
    print(f"{len(paths)} recordings; time ratios are to {BASELINE}")
    print(f"{'CPU s/s':>9}{'ratio':>7}{'conv. dB':>10}{'mel':>8}{'stft':>8}  variant")
    for name, mean in means.items():
        ratio = mean["cpu_per_second"] / means[BASELINE]["cpu_per_second"]
        cells = f"{mean['cpu_per_second']:9.4f}{ratio:7.2f}{mean['convergence']:10.2f}{mean['mel']:8.4f}"
        print(f"{cells}{mean['stft']:8.3f}  {name}")
    print(f"\n{arguments.batch} of {len(excerpts[0]) / RATE_HZ:.0f} s")
    for name, seconds in times.items():
        print(f"{seconds:9.4f}{seconds / times['torchaudio, one by one']:7.2f}  {name}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"means": means, "batch": times, "torch": torch.__version__, "recordings": rows}
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
