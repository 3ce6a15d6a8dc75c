"""torchaudio's WavLM, HuBERT and wav2vec 2.0 as backbones: names and metadata. No torch and no torchaudio here."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import vczoo

__all__ = ["BUNDLES", "layers_of", "vczoo_entries", "weights_of"]

vczoo_api = "1"

# Each model and its default bundle. `generate` adds the other bundles of the same architecture.
BUNDLES = {
    "wavlm-base": "WAVLM_BASE",
    "wavlm-base-plus": "WAVLM_BASE_PLUS",
    "wavlm-large": "WAVLM_LARGE",
    "hubert-base": "HUBERT_BASE",
    "hubert-large": "HUBERT_LARGE",
    "hubert-xlarge": "HUBERT_XLARGE",
    "wav2vec2-base": "WAV2VEC2_BASE",
    "wav2vec2-large": "WAV2VEC2_LARGE",
    "wav2vec2-large-lv60k": "WAV2VEC2_LARGE_LV60K",
    "wav2vec2-xlsr53": "WAV2VEC2_XLSR53",
    "xlsr-300m": "WAV2VEC2_XLSR_300M",
    "xlsr-1b": "WAV2VEC2_XLSR_1B",
    "xlsr-2b": "WAV2VEC2_XLSR_2B",
}
PAPERS = {"wavlm": "2110.13900", "hubert": "2106.07447", "wav2vec2": "2006.11477", "xlsr": "2111.09296"}
XLSR53_PAPER = "2006.13979"


@cache
def _table() -> dict[str, Any]:
    """The layers and weights of each model, as written by `generate`."""
    table: dict[str, Any] = json.loads(Path(__file__).with_name("bundles.json").read_text(encoding="utf-8"))
    return table


def weights_of(model: str) -> tuple[vczoo.Weights, ...]:
    """The registered weights of a model, those without fine-tuning first."""
    return tuple(vczoo.Weights(**line) for line in _table()[model]["weights"])


def layers_of(model: str) -> int:
    """The number of transformer layers of a model."""
    return int(_table()[model]["layers"])


@vczoo.hookimpl
def vczoo_entries() -> list[vczoo.Entry]:
    """One backbone for each architecture."""
    return [
        vczoo.Entry(
            name=f"torchaudio/{model}",
            kind="backbone",
            factory="vczoo_torchaudio.build:build",
            summary=f"torchaudio's {BUNDLES[model]} on waveforms, {layers_of(model)} layers, 20 ms per frame",
            licence="BSD-2-Clause",
            paper="arXiv:" + (XLSR53_PAPER if model.endswith("xlsr53") else PAPERS[model.partition("-")[0]]),
            source="https://docs.pytorch.org/audio",
            arguments={"model": model},
            weights=weights_of(model),
            check_with={"layer": 1, "stage_layers": 1},
        )
        for model in BUNDLES
    ]
