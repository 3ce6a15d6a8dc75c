"""Speaker embedding models that measure similarity and verification, loaded by name.

`wavlm-sv`                       WavLM-Base+ for speaker verification (Chen et al. 2022), 404 MB, from the Hub
`resemblyzer`                    GE2E (Wan et al. 2018); the wheel includes its weights
`xvector:<Hub id or folder>`     any model that transformers loads as AudioXVector; `@revision` may follow the id
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vczoo.audio.waveform import Waveform
from vczoo.errors import PluginError, UnknownNameError, WeightsError
from vczoo.evaluation.model_commits import commit_to_load, loaded_commit
from vczoo.io.install_advice import pip_install
from vczoo.io.optional_imports import load_or_download, require, safetensors_alone
from vczoo.io.text import nearest
from vczoo.registry.weights import offline

__all__ = ["SPEAKER_MODELS", "SpeakerModel", "load_speaker_model", "missing_speaker_model"]

SPEAKER_MODELS = ("wavlm-sv", "resemblyzer", "xvector:<Hub id or folder>")
WAVLM_SV = "microsoft/wavlm-base-plus-sv"
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


def load_speaker_model(name: str | None = None, device: str = "cpu") -> SpeakerModel:
    """Load a speaker model by name.

    Args:
        name: One of `SPEAKER_MODELS`. None for resemblyzer if it is installed, otherwise wavlm-sv.
        device: Device that the model runs on.

    Raises:
        UnknownNameError: There is no speaker model of that kind.
        PluginError: Its library is not installed.
        WeightsError: Its weights are unavailable.
    """
    if name is None:
        return _load_default(device)
    kind, _, place = name.partition(":")
    if kind == "resemblyzer" and not place:
        return Resemblyzer(device)
    if kind == "wavlm-sv" and not place:
        return XVector(WAVLM_SV, device)
    if kind == "xvector" and place:
        return XVector(place, device)
    raise UnknownNameError(
        f"no speaker model is called {name!r}{nearest(kind, ('wavlm-sv', 'resemblyzer', 'xvector'))} "
        f"There are: {', '.join(SPEAKER_MODELS)}"
    )


def missing_speaker_model() -> str:
    """What to do so that the default speaker model can be loaded; empty if it is installed, cached or downloadable."""
    if find_spec("resemblyzer") is not None:
        return ""
    if find_spec("transformers") is None:
        return f"run: {pip_install(extra='eval')}"
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(WAVLM_SV, "config.json", revision=commit_to_load(WAVLM_SV))
    return "" if isinstance(cached, str) or not offline() else _two_ways()


def _load_default(device: str) -> SpeakerModel:
    if find_spec("resemblyzer") is not None:  # figures stay comparable where it has been used all along
        return Resemblyzer(device)
    try:
        return XVector(WAVLM_SV, device)
    except (PluginError, WeightsError) as error:
        raise type(error)(f"no speaker model is available. {_two_ways()}. ({error})") from error


def _two_ways() -> str:
    return (
        f"Two ways out: run {pip_install(extra='eval')} and connect to the network once, with HF_HUB_OFFLINE unset, to "
        f"download wavlm-sv (404 MB); or run {pip_install(extra='eval-all')}, which brings resemblyzer with its "
        "weights, but needs a C compiler"
    )


class Resemblyzer:
    """GE2E encoder (resemble-ai/Resemblyzer): 256 dimensions, computed on the speech that voice activity detection
    keeps.
    """

    name = family = "resemblyzer"

    def __init__(self, device: str = "cpu") -> None:
        self.library = require("resemblyzer", "speaker similarity by resemblyzer", "eval-all")
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
