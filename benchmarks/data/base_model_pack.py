"""Makes the model inside the package of what was trained: a run and a vocoder in, `vczoo/assets/base` out.

    python -m benchmarks.data.base_model_pack --run runs/base --vocoder runs/vocoder/vocoder.safetensors \\
        --voices LIBRISPEECH --out vczoo/assets/base

The training speakers and their classes are left out, tensors are kept in half precision, and a few voices are enrolled
from --voices, `<speaker>/*.flac`: of the training speakers there, the two women and the two men who sound best
(DNSMOS), so that a recording can be converted before any voice is enrolled. LIBRISPEECH/SPEAKERS.TXT says who is which.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import vczoo
from vczoo.evaluation.metrics.naturalness import Dnsmos
from vczoo.io.tensors import load_strictly, read_tensors
from vczoo.runs.run import Run

EACH = 2  # voices of each sex
LICENCE = "cc-by-sa-4.0"  # of the prompts that it was trained on, among others: docs/base.md


def main() -> None:
    """Pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--vocoder", type=Path, required=True)
    parser.add_argument("--voices", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    trained = vczoo.load(arguments.run).run
    assert trained.model.vocoder is not None
    load_strictly(trained.model.vocoder, read_tensors(arguments.vocoder), where=str(arguments.vocoder))
    for head in trained.model.speaker_heads.values():
        head.restart(1)
    figures = {name: trained.metrics[name] for name in ("epochs", "seconds", "validation")}
    packed = vczoo.Converter(
        Run(trained.recipe, trained.model, (), {}, figures, {"fingerprint": trained.data["fingerprint"]}, LICENCE)
    )
    for name, recordings in chosen(arguments.voices, set(trained.speakers)).items():
        packed.enroll(name, recordings)
    packed.save(arguments.out, overwrite=True, whole=True, half=True)
    size = sum(file.stat().st_size for file in arguments.out.glob("*.safetensors")) / 1e6
    print(f"{arguments.out}: {size:.2f} MB, voices {', '.join(packed.voices)}")


def chosen(folder: Path, known: set[str]) -> dict[str, list[Path]]:
    """The recordings of the voices, by name."""
    sexes = {}
    for line in (folder / "SPEAKERS.TXT").read_text(encoding="utf-8").splitlines():
        if not line.startswith(";") and "|" in line:
            speaker, sex = (part.strip() for part in line.split("|")[:2])
            sexes[speaker] = sex
    rater, found = Dnsmos(), {}
    for speaker in sorted(known & set(sexes)):
        recordings = sorted((folder / speaker).glob("*.flac"))
        if recordings:
            found[speaker] = (rater.rate(vczoo.Waveform.read(recordings[0])).overall, recordings)
    best = sorted(found, key=lambda speaker: -found[speaker][0])
    names = {"F": "woman", "M": "man"}
    return {
        f"{names[sex]}-{number + 1}": found[speaker][1]
        for sex in names
        for number, speaker in enumerate([speaker for speaker in best if sexes[speaker] == sex][:EACH])
    }


if __name__ == "__main__":
    main()
