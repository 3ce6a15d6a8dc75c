"""Speech synthesis with espeak-ng: recordings for the demo, so that it needs no data.

It calls the C interface of the library inside PyPI's `espeakng_loader`. espeak-ng is GPL-3.0-or-later and vczoo is
Apache-2.0. Therefore the library is an extra (`vczoo[demo]`), only functions of this file load it, and no other part
of the core needs this file. The license does not cover the speech that espeak-ng produces.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from vczoo.audio.waveform import Waveform
from vczoo.errors import UnknownNameError, VczooError
from vczoo.io.install_advice import pip_install
from vczoo.io.text import nearest

__all__ = ["SENTENCES", "SYNTHETIC_VOICES", "SyntheticVoice", "speak", "write_corpus"]

CORPUS_RATE_HZ = 16000
VOLUME = 80  # at 100, the maximum, the louder voices clip

# From espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2  # the callback runs in the calling thread, before espeak_Synth returns
INITIALIZE_DONT_EXIT = 0x8000  # report a failure instead of ending the process, the default
CHARS_UTF8 = 1
POSITION_CHARACTER = 1
PARAMETER_RATE, PARAMETER_VOLUME, PARAMETER_PITCH, PARAMETER_RANGE = 1, 2, 3, 4

_lock = threading.Lock()  # the library keeps voice, parameters and callback in global variables


@dataclass(frozen=True)
class SyntheticVoice:
    """A voice of espeak-ng with its settings.

    Attributes:
        language: Name of the espeak-ng voice, optionally with a plus and a variant: "en-us+f2".
        pitch: Pitch, 0 to 99. 50 is the variant's own.
        words_per_minute: Speaking rate, 80 to 450.
        pitch_range: Range of the pitch, 0 (monotone) to 99. 50 is the variant's own.
    """

    language: str
    pitch: int = 50
    words_per_minute: int = 165
    pitch_range: int = 50

    def __post_init__(self) -> None:
        limits = {"pitch": (0, 99), "words_per_minute": (80, 450), "pitch_range": (0, 99)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise VczooError(f"{name} of a synthetic voice must be {low} to {high}, got {value!r}")


SYNTHETIC_VOICES: Mapping[str, SyntheticVoice] = MappingProxyType(
    {
        "ada": SyntheticVoice("en-us+f1", pitch=55, words_per_minute=165),
        "bruno": SyntheticVoice("en-us+m7", pitch=26, words_per_minute=155),
        "clara": SyntheticVoice("en-us+Annie", pitch=70, words_per_minute=175),
        "dexter": SyntheticVoice("en-us+m3", pitch=70, words_per_minute=180),
        "edith": SyntheticVoice("en-us+steph", pitch=38, words_per_minute=160, pitch_range=65),
        "felix": SyntheticVoice("en-us+marcelo", pitch=64, words_per_minute=170, pitch_range=40),
        "greta": SyntheticVoice("en-us+linda", pitch=46, words_per_minute=185, pitch_range=70),
        "hugo": SyntheticVoice("en-us+adam", pitch=80, words_per_minute=160, pitch_range=60),
    }
)

# Written for this project. Every English phoneme occurs many times.
SENTENCES: tuple[str, ...] = (
    "The yellow boat drifted slowly past the old stone bridge.",
    "She folded the letter twice and hid it under a book.",
    "Fresh bread and cheese make a very good breakfast.",
    "Our neighbour's goat chewed through the garden fence again.",
    "A thin blue vase stood near the kitchen window.",
    "Please bring both of those heavy boxes down to the cellar.",
    "They joked about the weather while the kettle boiled.",
    "Seven brave sailors crossed the channel in a storm.",
    "The judge asked for silence, and the room grew still.",
    "I would rather walk than wait an hour for the bus.",
    "His younger brother plays the violin every Thursday.",
    "Warm rain fell softly on the roof of the barn.",
    "Put the leather gloves beside the measuring jug.",
    "Few people noticed the fox behind the churchyard wall.",
    "The children laughed loudly as the puppy chased its tail.",
    "A cup of strong coffee woke the tired engineer.",
    "We found six smooth pebbles at the edge of the lake.",
    "The train to York leaves at a quarter past eight.",
    "Nobody could open the rusty gate without a hammer.",
    "The choir sang three quiet songs before the bells rang.",
    "Her purple scarf was caught by a sudden gust of wind.",
    "Thick fog covered the harbour for most of the day.",
    "He usually measures the flour twice to be sure.",
    "Good maps show every path, stream and hill.",
    "The zebra watched us calmly from the far shore.",
    "Push the small wooden peg into the lower hole.",
    "My aunt grows beans, leeks and thyme in her yard.",
    "The noisy crowd cheered when the prize was given.",
    "Could you take this sharp knife back to the cook?",
    "An owl hooted twice, and then the forest was silent.",
    "The doctor's advice was short, clear and useful.",
    "Bright orange leaves were floating down the river.",
    "We should hang the picture above the green chair.",
    "Both teachers thought the chalk drawing was beautiful.",
    "The price of sugar rose again late in the autumn.",
    "Fetch a pail of water and wash the muddy wheels.",
)


def speak(text: str, voice: SyntheticVoice) -> Waveform:
    """Synthesize a text: (1, S) at espeak-ng's rate, 22,050 Hz.

    It can be called from any thread, but only one call runs at a time. Calls with the same text and voice return the
    same speech, with durations equal to within 30 ms. The samples differ from call to call, because the library's
    flutter and breath noise continue from the previous call, and restarting the library does not reset them.

    Args:
        text: The text to speak, in the language of the voice.
        voice: The voice that speaks it.

    Raises:
        VczooError: The extra is not installed, espeak-ng has no such voice, or the text contains nothing to speak.
    """
    with _lock:
        engine = _engine()
        return engine.speak(text, voice)


def write_corpus(folder: Path, voices: Iterable[str], sentences: Sequence[str]) -> Path:
    """Write a corpus of synthetic speech, `<folder>/<voice>/<nn>.wav` at 16 kHz, for `read_corpus`.

    Args:
        folder: A folder that is empty or does not exist yet.
        voices: Names from `SYNTHETIC_VOICES`. Each voice speaks every sentence.
        sentences: The sentences, in English.

    Returns:
        The folder.

    Raises:
        VczooError: The folder already contains files, the extra is not installed, or the disk cannot be written.
        UnknownNameError: There is no synthetic voice of that name.
    """
    names = list(voices)
    for name in names:
        if name not in SYNTHETIC_VOICES:
            raise UnknownNameError(
                f"no synthetic voice {name!r}, there are {', '.join(SYNTHETIC_VOICES)}{nearest(name, SYNTHETIC_VOICES)}"
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VczooError(f"{folder} already contains files; choose another folder, or remove it first")
    for name in names:
        for number, sentence in enumerate(sentences, start=1):
            wave = speak(sentence, SYNTHETIC_VOICES[name]).resample(CORPUS_RATE_HZ)
            wave.save(folder / name / f"{number:02d}.wav")
    return folder


class _Engine:
    """The loaded library. A process has only one, which callers use while they hold `_lock`."""

    def __init__(self, library: Path, data: Path) -> None:
        try:
            self.library = ctypes.CDLL(str(library))
        except OSError as error:
            raise VczooError(
                f"{library}: espeak-ng cannot be loaded ({error}); run: {pip_install(extra='demo')}"
            ) from error
        self.data = data
        self.chunks: list[bytes] = []
        # The library calls it as long as the process lives. If it were garbage-collected, the process would crash.
        signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self.callback = signature(self._take)
        self.library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self.rate_hz = int(
            self.library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, str(data).encode(), INITIALIZE_DONT_EXIT)
        )
        if self.rate_hz <= 0:
            raise VczooError(
                f"espeak-ng cannot read its data in {data} (the path has {len(str(data))} characters; the library "
                f"supports about 150); install vczoo in a shorter path"
            )
        self.library.espeak_SetSynthCallback(self.callback)

    def _take(self, samples: int | None, count: int, _: Any) -> int:
        if samples and count > 0:
            self.chunks.append(ctypes.string_at(samples, 2 * count))
        return 0  # continue

    def speak(self, text: str, voice: SyntheticVoice) -> Waveform:
        variant = voice.language.partition("+")[2]
        # The library silently ignores a variant that it does not have.
        has_variant = not variant or (self.data / "voices" / "!v" / variant).is_file()
        if not has_variant or self.library.espeak_SetVoiceByName(voice.language.encode()) != 0:
            raise VczooError(f"espeak-ng has no voice {voice.language!r}; try 'en-us+f2' or 'en-us+m3'")
        parameters = {
            PARAMETER_RATE: voice.words_per_minute,
            PARAMETER_VOLUME: VOLUME,
            PARAMETER_PITCH: voice.pitch,
            PARAMETER_RANGE: voice.pitch_range,
        }
        for parameter, value in parameters.items():
            self.library.espeak_SetParameter(parameter, value, 0)
        content = text.replace("\0", " ").encode()
        self.chunks.clear()
        failed = self.library.espeak_Synth(content, len(content) + 1, 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None)
        pcm = np.frombuffer(b"".join(self.chunks), dtype=np.int16)
        self.chunks.clear()
        if failed or not pcm.any():
            raise VczooError(
                f"espeak-ng produced no sound for {text[:60]!r}; give words in the language of {voice.language!r}"
            )
        return Waveform.of(torch.from_numpy(pcm.astype(np.float32) / 32768), self.rate_hz)


@cache
def _engine() -> _Engine:
    try:
        import espeakng_loader
    except ImportError as error:
        raise VczooError(
            f"synthetic speech needs espeak-ng, which is not installed; run: {pip_install(extra='demo')}"
        ) from error
    return _Engine(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path()))
