"""How far conversions move: fine-tune on a few speakers, convert held-out sentences of each into each other's voice.

    pip install resemblyzer "setuptools<81"
    python benchmarks/conversion.py --data SPEAKERS_FOLDER --recipe vgg16-partialfreeze backbone.weights=random

Similarity is the cosine of Resemblyzer's embedding (which no recipe trains with) to the mean embedding of the
target's training utterances. The baseline beside each figure is the unconverted source; "vocoder" is the source
through its own mel and the recipe's vocoder. With --keep FOLDER, the WAV files stay.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vczoo

SOURCES = 2  # last utterances of each speaker, which are converted; the first of the rest is for validation


def split_by_order(data: Path, file: Path) -> Path:
    rows = ["path,speaker,split"]
    for folder in sorted(path for path in data.resolve().iterdir() if path.is_dir()):
        *known, _, _ = paths = sorted(path for path in folder.iterdir() if path.suffix in {".flac", ".wav"})
        for path in paths:
            split = "test" if path in paths[-SOURCES:] else "validation" if path == known[-1] else "train"
            rows.append(f"{path},{folder.name},{split}")
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--keep", type=Path, required=True, help="a new folder for the run and the WAV files")
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    from resemblyzer import VoiceEncoder

    encoder = VoiceEncoder("cpu", verbose=False)
    arguments.keep.mkdir(parents=True)
    manifest = split_by_order(arguments.data, arguments.keep / "manifest.csv")
    corpus = vczoo.read_corpus(manifest)
    began = time.perf_counter()
    converter = vczoo.finetune(arguments.recipe, manifest, arguments.keep / "run", arguments.overrides)
    seconds = time.perf_counter() - began
    centroids = {
        name: centroid(
            [vczoo.Waveform.read(u.path, 16000) for u in corpus.of_speaker(name) if u.split == "train"], encoder
        )
        for name in corpus.speakers
    }
    rows: list[dict[str, Any]] = []
    for source, target in itertools.permutations(corpus.speakers, 2):
        for utterance in (u for u in corpus.of_speaker(source) if u.split == "test"):
            wave = vczoo.Waveform.read(utterance.path, 16000)
            start = time.perf_counter()
            made = converter.convert(wave, target)
            spent = time.perf_counter() - start
            made.save(arguments.keep / f"{utterance.path.stem}-as-{target}.wav")
            model = converter.run.model
            with torch.inference_mode():
                plain = model.vocoder(model.acoustic(wave))  # type: ignore[misc]
            rows.append(
                {
                    "source": source,
                    "target": target,
                    "utterance": utterance.path.stem,
                    "peak": float(made.samples.abs().max()),
                    "rms": float(made.samples.square().mean().sqrt()),
                    **{
                        f"{name} to target": cosine(w, centroids[target], encoder)
                        for name, w in (("source", wave), ("vocoder", plain), ("converted", made))
                    },
                    **{
                        f"{name} to source": cosine(w, centroids[source], encoder)
                        for name, w in (("source", wave), ("vocoder", plain), ("converted", made))
                    },
                    "real_time_factor": spent / wave.seconds,
                }
            )
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if not isinstance(rows[0][key], str)}
    nearer = sum(row["converted to target"] > row["converted to source"] for row in rows)
    result = {
        "recipe": arguments.recipe,
        "overrides": arguments.overrides,
        "metrics": converter.metrics,
        "finetune_seconds": seconds,
        "means": means,
        "nearer_to_target": f"{nearer} of {len(rows)}",
        "trials": rows,
    }
    (arguments.out or arguments.keep / "conversion.json").write_text(
        json.dumps(result, indent=2) + "\n", encoding="utf-8"
    )
    print(f"{arguments.recipe} {' '.join(arguments.overrides)}: fine-tuned in {seconds:.0f} s")
    print(f"{'':12}{'to target':>10}{'to source':>10}")
    for name in ("source", "vocoder", "converted"):
        print(f"{name:12}{means[f'{name} to target']:10.3f}{means[f'{name} to source']:10.3f}")
    print(
        f"nearer to the target than to the source: {nearer} of {len(rows)}; "
        f"real-time factor {means['real_time_factor']:.3f}"
    )


def embed(wave: vczoo.Waveform, encoder: Any) -> np.ndarray:
    from resemblyzer import preprocess_wav

    embedding: np.ndarray = encoder.embed_utterance(preprocess_wav(wave.samples[0].numpy(), wave.sample_rate_hz))
    return embedding


def centroid(waves: list[vczoo.Waveform], encoder: Any) -> np.ndarray:
    mean = np.mean([embed(wave, encoder) for wave in waves], axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def cosine(wave: vczoo.Waveform, reference: np.ndarray, encoder: Any) -> float:
    return float(embed(wave, encoder) @ reference)


if __name__ == "__main__":
    main()
