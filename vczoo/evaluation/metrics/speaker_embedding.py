"""Speaker embedding models that measure similarity and verification, loaded by name.

`resemblyzer`                    GE2E (Wan et al. 2018); the wheel includes its weights
`xvector:<Hub id or folder>`     any model that transformers loads as AudioXVector; `@revision` may follow the id
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vczoo.audio.waveform import Waveform
from vczoo.errors import UnknownNameError
from vczoo.evaluation.model_commits import commit_to_load, loaded_commit
from vczoo.io.optional_imports import load_or_download, require, safetensors_alone
from vczoo.io.text import nearest
from vczoo.registry.weights import offline

__all__ = ["SPEAKER_MODELS", "SpeakerModel", "load_speaker_model"]

SPEAKER_MODELS = ("resemblyzer", "xvector:<Hub id or folder>")
RATE_HZ = 16000
SILENCE_PEAK = 1e-4
WAYS_OUT = (
    "Connect to the network and give a Hub id whose weights are safetensors (with id@<40-digit commit>, a .bin file is "
    "read, too); or give a folder that holds config.json, preprocessor_config.json and model.safetensors"
)


class SpeakerModel(Protocol):
    """A model that computes speaker embeddings.

    Attributes:
        name: Name by which it was requested.
        family: Kind of network, such as wavlm. Recipes that use the same family are flagged in reports.
    """

    name: str
    family: str

    def embed(self, waves: Sequence[Waveform]) -> NDArray[np.float64]:
        """Embed N waveforms (1, S) of any rate: (N, E), each row of length 1, or zero for silence."""


def load_speaker_model(name: str = "resemblyzer", device: str = "cpu") -> SpeakerModel:
    """Load a speaker model by name.

    Raises:
        UnknownNameError: There is no speaker model of that kind.
        PluginError: Its library is not installed.
        WeightsError: Its weights are unavailable.
    """
    kind, _, place = name.partition(":")
    if kind == "resemblyzer" and not place:
        return Resemblyzer(device)
    if kind == "xvector" and place:
        return XVector(place, device)
    raise UnknownNameError(
        f"no speaker model is called {name!r}{nearest(kind, ('resemblyzer', 'xvector'))} "
        f"There are: {', '.join(SPEAKER_MODELS)}"
    )


class Resemblyzer:
    """GE2E encoder (resemble-ai/Resemblyzer): 256 dimensions, computed on the speech that voice activity detection
    keeps.
    """

    name = family = "resemblyzer"

    def __init__(self, device: str = "cpu") -> None:
        self.library = require("resemblyzer", "speaker similarity by resemblyzer", "eval")
        self.encoder = self.library.VoiceEncoder(device, verbose=False)

    def embed(self, waves: Sequence[Waveform]) -> NDArray[np.float64]:
        """Embed N waveforms (1, S) of any rate: (N, 256)."""
        return np.stack([self._embed(wave) for wave in waves])

    def _embed(self, wave: Waveform) -> NDArray[np.float64]:
        samples = _samples(wave)
        if np.abs(samples).max() < SILENCE_PEAK:
            return np.zeros(256)
        # No rate is passed: librosa would load its own compiler only to resample from 16 kHz to 16 kHz.
        speech = self.library.preprocess_wav(samples)
        embedding = self.encoder.embed_utterance(speech if speech.size >= RATE_HZ // 4 else samples)
        return np.asarray(embedding, dtype=np.float64)


class XVector:
    """A network with an x-vector head (Snyder et al. 2018), such as microsoft/wavlm-base-plus-sv."""

    def __init__(self, place: str, device: str = "cpu") -> None:
        transformers = require("transformers", "speaker similarity by xvector", "eval")
        self.name, self.device = f"xvector:{place}", device
        where, _, revision = (place, "", "") if Path(place).is_dir() else place.partition("@")
        repository = "" if Path(place).is_dir() else where
        revision = commit_to_load(repository, revision)

        def load(local: bool) -> tuple[Any, Any]:
            options = {"revision": revision or None, "local_files_only": local}
            extractor = transformers.AutoFeatureExtractor.from_pretrained(where, **options)
            safe = safetensors_alone(revision)
            model = transformers.AutoModelForAudioXVector.from_pretrained(where, use_safetensors=safe, **options)
            return extractor, model.to(device).eval()

        self.extractor, self.model = load_or_download(
            f"speaker model {self.name}", repository, revision, load, offline=offline(), ways_out=WAYS_OUT
        )
        self.commit = loaded_commit(repository, revision)
        self.family = str(self.model.config.model_type)

    @torch.inference_mode()
    def embed(self, waves: Sequence[Waveform]) -> NDArray[np.float64]:
        """Embed N waveforms (1, S) of any rate: (N, E). They run one by one, because padding would change them."""
        rows = []
        for wave in waves:
            samples = _samples(wave)
            inputs = self.extractor(samples, sampling_rate=RATE_HZ, return_tensors="pt").to(self.device)
            row = self.model(**inputs).embeddings[0].double().cpu().numpy()
            silent = np.abs(samples).max() < SILENCE_PEAK
            rows.append(np.zeros_like(row) if silent else row / np.linalg.norm(row))
        return np.stack(rows)


def _samples(wave: Waveform) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = wave.resample(RATE_HZ).samples[0].detach().clamp(-1, 1).cpu().numpy()
    return samples
