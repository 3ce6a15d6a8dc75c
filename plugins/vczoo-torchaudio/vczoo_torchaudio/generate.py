"""Write `bundles.json`: the layers and the weights that the installed torchaudio has for the models of this plugin.

python -m vczoo_torchaudio.generate
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torchaudio import pipelines
from torchaudio.models import wav2vec2_model, wavlm_model

from vczoo_torchaudio import BUNDLES

__all__ = ["main", "table"]

SERVER = "https://download.pytorch.org/torchaudio/models/"
BYTES_PER_PARAMETER = 4
LICENSES = {"MIT License": "MIT", "CC BY-NC 4.0": "CC-BY-NC-4.0"}  # as torchaudio's documentation calls them
# torchaudio publishes no checksums, nor do its file names contain any. Each of these is recorded by several independent
# public projects for the file that they downloaded; for the other files there are no two such records.
CHECKSUMS = {
    "WAVLM_BASE_PLUS": "136a3e720c04f2c77bf7a4dc6a3868b14d5a2c145a988114b733cb1a8428be98",
    "WAV2VEC2_ASR_BASE_960H": "488fd4f16de84438ffc945334278c1b9fb9b7159a806c1080b16111a958c945d",
    "WAV2VEC2_ASR_LARGE_LV60K_960H": "7a88965716fbd598a595209bf45c1210a18a6935cfb0cf53527fc986c5543ac7",
}
# Fine-tuned for speech recognition, of the same architecture and input as the model that they are weights of.
TUNED = {
    "hubert-large": ("HUBERT_ASR_LARGE",),
    "hubert-xlarge": ("HUBERT_ASR_XLARGE",),
    "wav2vec2-base": (
        *(f"WAV2VEC2_ASR_BASE_{hours}" for hours in ("960H", "100H", "10M")),
        *(f"VOXPOPULI_ASR_BASE_10K_{language}" for language in ("DE", "EN", "ES", "FR", "IT")),
    ),
    "wav2vec2-large": tuple(f"WAV2VEC2_ASR_LARGE_{hours}" for hours in ("960H", "100H", "10M")),
    "wav2vec2-large-lv60k": tuple(f"WAV2VEC2_ASR_LARGE_LV60K_{hours}" for hours in ("960H", "100H", "10M")),
}


def table() -> dict[str, dict[str, Any]]:
    """Each model's layers and weights, those without fine-tuning first."""
    return {
        model: {
            "layers": getattr(pipelines, bundle)._params["encoder_num_layers"],
            "weights": [_weights(name) for name in (bundle, *TUNED.get(model, ()))],
        }
        for model, bundle in BUNDLES.items()
    }


def _weights(name: str) -> dict[str, Any]:
    bundle = getattr(pipelines, name)
    with torch.device("meta"):
        network = (wavlm_model if bundle._model_type == "WavLM" else wav2vec2_model)(**bundle._params)
    stated = re.search("under (" + "|".join(LICENSES) + ")", re.sub(r"\s+", " ", bundle.__doc__))
    return {
        "name": name,
        "source": SERVER + bundle._path,
        "licence": LICENSES[stated[1]] if stated else "unknown",
        "size_bytes": BYTES_PER_PARAMETER * sum(tensor.numel() for tensor in network.parameters()),
        "sha256": CHECKSUMS.get(name, ""),
    }


def main() -> None:
    """Write the file."""
    lines = []
    for model, line in table().items():
        weights = ",\n    ".join(json.dumps(entry) for entry in line["weights"])
        lines.append(f'{json.dumps(model)}: {{"layers": {line["layers"]}, "weights": [\n    {weights}]}}')
    Path(__file__).with_name("bundles.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
