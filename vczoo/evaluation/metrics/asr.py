"""Speech recognizers (ASR) that measure word and character error rates, loaded by name.

`faster-whisper:<size or folder>`     Whisper through CTranslate2; sizes are tiny.en, base.en, small, large-v3 …
`transformers:<Hub id or folder>`     any speech recognizer of transformers; `@revision` may follow the id
`moonshine`                           Moonshine tiny, English; the wheel includes its model
`pocketsphinx`                        CMU Sphinx, English; the wheel includes its model
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vczoo.audio.waveform import Waveform
from vczoo.errors import UnknownNameError, WeightsError
from vczoo.evaluation.model_commits import commit_to_load, loaded_commit
from vczoo.io.optional_imports import load_or_download, require, safetensors_alone
from vczoo.io.text import nearest
from vczoo.registry.weights import offline

__all__ = ["RECOGNISERS", "Recogniser", "load_recogniser"]

RECOGNISERS = ("faster-whisper:<size or folder>", "transformers:<Hub id or folder>", "moonshine", "pocketsphinx")
RATE_HZ = 16000
MOST_TOKENS = 200  # enough for 30 s of speech; when Whisper loops, it would otherwise continue to 448
WAYS_OUT = (
    "Three ways out: connect to the network, with HF_HUB_OFFLINE unset; give a folder that holds a CTranslate2 model, "
    "faster-whisper:FOLDER; or choose another ASR, such as pocketsphinx, whose wheel includes its model"
)
TRANSFORMERS_WAYS_OUT = (
    "Connect to the network and give a Hub id whose weights are safetensors (with id@<40-digit commit>, a .bin file is "
    "read, too); or give a folder that holds the model, its tokenizer and preprocessor_config.json"
)


class Recogniser(Protocol):
    """A speech recognizer that transcribes waveforms.

    Attributes:
        name: Name by which it was requested; for a folder, only the last part of the path.
        family: Kind of network, such as whisper. Recipes that use the same family are flagged in reports.
    """

    name: str
    family: str

    def transcribe(self, wave: Waveform) -> str:
        """Return the transcript of a (1, S) waveform of any rate, in the recognizer's spelling; empty for silence."""


def load_recogniser(name: str = "faster-whisper:tiny.en", device: str = "cpu") -> Recogniser:
    """Load a speech recognizer by name.

    Raises:
        UnknownNameError: There is no recognizer of that kind.
        PluginError: Its library is not installed.
        WeightsError: Its weights are unavailable.
    """
    kind, _, place = name.partition(":")
    if kind == "faster-whisper":
        return FasterWhisper(place or "tiny.en", device)
    if kind == "transformers" and place:
        return Transformers(place, device)
    if kind == "moonshine" and not place:
        return Moonshine()
    if kind == "pocketsphinx" and not place:
        return PocketSphinx()
    kinds = [pattern.partition(":")[0] for pattern in RECOGNISERS]
    raise UnknownNameError(f"no ASR is called {name!r}{nearest(kind, kinds)} There are: {', '.join(RECOGNISERS)}")


class FasterWhisper:
    """Whisper (Radford et al. 2022) through faster-whisper: beam size 5, no sampling, float32 on a CPU."""

    family = "whisper"

    def __init__(self, place: str, device: str = "cpu") -> None:
        library = require("faster_whisper", "the ASR faster-whisper", "eval")
        folder = Path(place).expanduser()
        self.name = f"faster-whisper:{folder.name if folder.is_dir() else place}"
        looks_like_path = folder.is_absolute() or place.startswith((".", "~"))
        if looks_like_path and not (folder / "model.bin").is_file():
            raise WeightsError(f"ASR faster-whisper: {folder} holds no CTranslate2 model (model.bin); check the path")
        if not folder.is_dir() and place not in library.available_models() and "/" not in place:
            sizes = library.available_models()
            raise UnknownNameError(
                f"faster-whisper has no size {place!r}{nearest(place, sizes)} Sizes: {', '.join(sizes)}; or a folder"
            )
        threads = torch.get_num_threads()
        precision = "float16" if device.startswith("cuda") else "float32"
        repository = "" if folder.is_dir() else getattr(library.utils, "_MODELS", {}).get(place, place)
        revision = commit_to_load(repository)

        def load(local: bool) -> Any:
            return library.WhisperModel(
                repository or str(folder),
                device=device.partition(":")[0],
                compute_type=precision,
                cpu_threads=threads,
                local_files_only=local,
                revision=revision or None,
            )

        self.model = load_or_download(
            f"ASR {self.name}", repository, revision, load, offline=offline(), ways_out=WAYS_OUT
        )
        self.commit = loaded_commit(repository, revision)
        self.language = None if self.model.model.is_multilingual else "en"

    def transcribe(self, wave: Waveform) -> str:
        """Return the transcript of a (1, S) waveform of any rate."""
        # Temperature 0 only: at higher temperatures Whisper samples at random. No conditioning on earlier text: it
        # causes loops. No timestamps: Whisper would split a hard sentence into many, each with its own loop.
        segments, _ = self.model.transcribe(
            _samples(wave),
            language=self.language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            max_new_tokens=MOST_TOKENS,
        )
        return " ".join(segment.text.strip() for segment in segments)


class Transformers:
    """A recognizer of transformers: a generative model such as Whisper, decoded greedily, or a CTC model (HuBERT)."""

    def __init__(self, place: str, device: str = "cpu") -> None:
        transformers = require("transformers", "an ASR of transformers", "eval")
        folder = Path(place).expanduser()
        self.name = f"transformers:{folder.name if folder.is_dir() else place}"
        where, _, revision = (str(folder), "", "") if folder.is_dir() else place.partition("@")
        repository = "" if folder.is_dir() else where
        revision = commit_to_load(repository, revision)

        def load(local: bool) -> tuple[Any, Any]:
            options = {"revision": revision or None, "local_files_only": local}
            config = transformers.AutoConfig.from_pretrained(where, **options)
            generates = type(config) in transformers.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING
            loader = transformers.AutoModelForSpeechSeq2Seq if generates else transformers.AutoModelForCTC
            safe = safetensors_alone(revision)
            model = loader.from_pretrained(where, use_safetensors=safe, dtype=torch.float32, **options)
            return transformers.AutoProcessor.from_pretrained(where, **options), model.to(device).eval()

        self.processor, self.model = load_or_download(
            f"ASR {self.name}", repository, revision, load, offline=offline(), ways_out=TRANSFORMERS_WAYS_OUT
        )
        self.commit = loaded_commit(repository, revision)
        self.logging = transformers.utils.logging
        self.generates = bool(self.model.can_generate())
        self.device, self.family = device, str(self.model.config.model_type)

    @torch.inference_mode()
    def transcribe(self, wave: Waveform) -> str:
        """Return the transcript of a (1, S) waveform of any rate. Whisper reads only the first 30 s."""
        inputs = self.processor(_samples(wave), sampling_rate=RATE_HZ, return_tensors="pt").to(self.device)
        if self.generates:
            # transformers would warn about its own defaults at every call.
            verbosity = self.logging.get_verbosity()
            self.logging.set_verbosity_error()
            try:
                tokens = self.model.generate(**inputs, do_sample=False, max_new_tokens=MOST_TOKENS)
            finally:
                self.logging.set_verbosity(verbosity)
        else:
            tokens = self.model(**inputs).logits.argmax(dim=-1)
        text: str = self.processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return text.strip()


class Moonshine:
    """Moonshine tiny (Jeffries et al., arXiv:2410.15608), English, through moonshine-voice. It is not a Whisper."""

    name, family = "moonshine:tiny-en", "moonshine"

    def __init__(self) -> None:
        library = require("moonshine_voice", "the ASR moonshine", "moonshine")
        folder = Path(library.__file__).parent / "assets" / "tiny-en"
        if not (folder / "encoder_model.ort").is_file():
            raise WeightsError(
                "ASR moonshine: the installed moonshine-voice does not include the model; install moonshine-voice<0.1"
            )
        self.model = library.Transcriber(str(folder), library.ModelArch.TINY)

    def transcribe(self, wave: Waveform) -> str:
        """Return the transcript of a (1, S) waveform of any rate."""
        transcript = self.model.transcribe_without_streaming(_samples(wave).tolist(), RATE_HZ)
        return " ".join(line.text.strip() for line in transcript.lines)


class PocketSphinx:
    """CMU Sphinx's English model: hidden Markov models and a trigram. No recipe here was trained with it."""

    name = family = "pocketsphinx"

    def __init__(self) -> None:
        library = require("pocketsphinx", "the ASR pocketsphinx", "eval-all")
        self.library = library
        self.decoder = library.Decoder(loglevel="FATAL")

    def transcribe(self, wave: Waveform) -> str:
        """Return the transcript of a (1, S) waveform of any rate."""
        # Decode the whole utterance at once: cepstral means then come from this recording only, so the order of
        # recordings does not matter.
        self.decoder.start_utt()
        self.decoder.process_raw((_samples(wave) * 32767).astype(np.int16).tobytes(), no_search=False, full_utt=True)
        self.decoder.end_utt()
        hypothesis = self.decoder.hyp()
        return str(hypothesis.hypstr) if hypothesis else ""


def _samples(wave: Waveform) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = wave.resample(RATE_HZ).samples[0].detach().clamp(-1, 1).cpu().numpy()
    return samples
