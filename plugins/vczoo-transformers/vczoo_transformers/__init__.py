"""transformers' audio encoders and vocoders: names and metadata. Neither torch nor transformers is imported here."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import vczoo

__all__ = ["VOCODERS", "models", "vczoo_entries", "weights_of"]

vczoo_api = "1"

SOURCE = "https://github.com/huggingface/transformers"
VOCODERS: dict[str, dict[str, Any]] = {
    "speecht5-hifigan": {
        "factory": "build_hifigan",
        "summary": "SpeechT5's HiFi-GAN: 16 kHz, 80 mels, hop 16 ms",
        "source": "microsoft/speecht5_hifigan",
        "licence": "MIT",
        "size_bytes": 51_000_000,
        "paper": "arXiv:2010.05646",
        "config": {
            "model_type": "speecht5_hifigan",
            "model_in_dim": 80,
            "sampling_rate": 16000,
            "upsample_initial_channel": 512,
            "upsample_rates": [4, 4, 4, 4],
            "upsample_kernel_sizes": [8, 8, 8, 8],
            "resblock_kernel_sizes": [3, 7, 11],
            "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
            "normalize_before": True,
        },
    },
    "univnet": {
        "factory": "build_univnet",
        "summary": "UnivNet-c32: 24 kHz, 100 mels, hop 10.7 ms",
        "source": "dg845/univnet-dev",
        "licence": "unknown",
        "size_bytes": 60_000_000,
        "paper": "arXiv:2106.07889",
        "config": {
            "model_type": "univnet",
            "num_mel_bins": 100,
            "model_in_channels": 64,
            "model_hidden_channels": 32,
            "resblock_stride_sizes": [8, 8, 4],
        },
    },
}


@cache
def models() -> dict[str, dict[str, Any]]:
    """Each listed encoder's entry in `models.json`: repository, license, size, paper and configuration."""
    return json.loads(Path(__file__).with_name("models.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def weights_of(model: str) -> tuple[vczoo.Weights, ...]:
    """The registered weights of a listed model. Revisions are not pinned, because the list was made offline."""
    line = (models() | VOCODERS)[model]
    return (vczoo.Weights("hub", line["source"], line["licence"], line["size_bytes"]),)


@vczoo.hookimpl
def vczoo_entries() -> list[vczoo.Entry]:
    """A backbone for each listed encoder, one for any other encoder, the vocoders, and LoRA."""
    entries = [
        vczoo.Entry(
            name=f"transformers/{model}",
            kind="backbone",
            factory="vczoo_transformers.build:build",
            summary=f"{line['source']}, an audio encoder of transformers",
            licence="Apache-2.0",
            paper=line["paper"],
            source=SOURCE,
            arguments={"model": model},
            weights=weights_of(model),
            check_with={"layer": 1},
        )
        for model, line in models().items()
    ]
    entries.append(
        vczoo.Entry(
            name="transformers/auto",
            kind="backbone",
            factory="vczoo_transformers.build:build_auto",
            summary="a Whisper, wav2vec 2.0, HuBERT, WavLM, data2vec, UniSpeech or w2v-BERT from a folder or the Hub",
            licence="Apache-2.0",
            source=SOURCE,
            weights=(vczoo.Weights("pretrained", "what `model` names"),),
        )
    )
    entries += [
        vczoo.Entry(
            name=f"transformers/{model}",
            kind="vocoder",
            factory=f"vczoo_transformers.vocoders:{line['factory']}",
            summary=line["summary"],
            licence="Apache-2.0",
            paper=line["paper"],
            source=SOURCE,
            weights=weights_of(model),
        )
        for model, line in VOCODERS.items()
    ]
    entries.append(
        vczoo.Entry(
            name="transformers/lora",
            kind="freezing",
            factory="vczoo_transformers.lora:Lora",
            summary="low-rank adapters (peft) in the linear layers of any backbone; everything else is frozen",
            licence="Apache-2.0",
            paper="arXiv:2106.09685",
            source="https://github.com/huggingface/peft",
        )
    )
    return entries
