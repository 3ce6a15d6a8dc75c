"""Degradations of speech at 16 kHz: telephones, stereo recorders, noise, other throats and bad levels.

WORLD (Morise et al. 2016, pyworld) analyzes and synthesizes the child and the whisper. Everything is seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

import vczoo

RATE_HZ = 16000
TELEPHONE_HZ, TELEPHONE_BAND_HZ = 8000, (300.0, 3400.0)
STUDIO_HZ, STEREO_GAINS = 48000, (1.0, 0.3)
NOISE_DB = 5.0  # speech above noise
ROOM_SECONDS = 0.5  # reverberation time
CHILD = 1.35  # factor for pitch and formants
CLIPPED_DB = 20.0  # above full scale
SHORT_SECONDS = 0.05
# Finnish, which is not among the languages in the training data of `base`; written for this project.
FOREIGN_LANGUAGE = "fi"
FOREIGN = (
    "Hyvää huomenta, minulla on punainen polkupyörä ja kaksi vanhaa kissaa.",
    "Talven jälkeen jää suli hitaasti, ja linnut palasivat järvelle.",
    "Kahvi on pöydällä, mutta leipä unohtui keittiöön.",
    "Juna lähtee asemalta kello kahdeksan, eikä se odota ketään.",
    "Lapset juoksivat pihalla, kunnes alkoi sataa lunta.",
    "Kirja, jonka annoit minulle, oli pitkä ja hyvin kaunis.",
    "Merellä tuuli niin kovaa, että vene kääntyi takaisin.",
    "Isoäiti kertoi tarinan metsästä, jossa asui viisas pöllö.",
)
Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Damage:
    """A degradation of a recording.

    Attributes:
        make: The function from samples to degraded ones: (S,) at 16 kHz -> (S',) or (S', channels).
        rate_hz: The sample rate of its output.
        other_voice: Whether the output is no longer the speaker's voice.
        speech: Whether the output still has words and a voice to measure.
        subtype: The sample format of the file.
        in_memory: Whether vczoo gets it as a waveform, which the checks of the file reader have not seen.
    """

    make: Callable[[Samples], Samples]
    rate_hz: int = RATE_HZ
    other_voice: bool = False
    speech: bool = True
    subtype: str = "PCM_16"
    in_memory: bool = False

    def write(self, source: Path, out: Path) -> Path:
        """Write the degraded recording to a file and return its path."""
        out.parent.mkdir(parents=True, exist_ok=True)
        samples = vczoo.Waveform.read(source, RATE_HZ).samples[0].double().numpy()
        soundfile.write(out, self.make(samples).clip(-1, 1), self.rate_hz, subtype=self.subtype)
        return out


def telephone(samples: Samples) -> Samples:
    """Band-limited, at 8 kHz."""
    low, high = TELEPHONE_BAND_HZ
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(samples.size, 1 / RATE_HZ)
    band = np.fft.irfft(spectrum * ((hz >= low) & (hz <= high)), samples.size)
    return resampled(band, TELEPHONE_HZ)


def stereo(samples: Samples) -> Samples:
    """At 48 kHz, one channel louder than the other."""
    return resampled(samples, STUDIO_HZ)[:, None] * np.array(STEREO_GAINS)


def in_noise(samples: Samples, color: float, snr_db: float = NOISE_DB) -> Samples:
    """With noise whose power falls with frequency to the power of `color`: 0 is white, 1 is pink."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(samples.size))
    hz = np.fft.rfftfreq(samples.size, 1 / RATE_HZ)
    noise = np.fft.irfft(spectrum / np.maximum(hz, 20.0) ** (color / 2), samples.size)
    noise *= np.sqrt(np.mean(samples**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    mixed = samples + noise
    return mixed / max(1.0, np.abs(mixed).max())


def in_room(samples: Samples) -> Samples:
    """In a room: convolved with noise that decays by 60 dB in `ROOM_SECONDS`, under a direct sound as loud as it."""
    times = np.arange(round(ROOM_SECONDS * RATE_HZ)) / RATE_HZ
    tail = np.random.default_rng(0).standard_normal(times.size) * 10 ** (-3 * times / ROOM_SECONDS)
    tail /= np.sqrt(np.sum(tail**2))
    size = samples.size + tail.size
    echo = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: samples.size]
    return leveled(samples + echo, samples)


def child(samples: Samples) -> Samples:
    """With pitch and formants of a shorter vocal tract, at the same tempo."""
    import pyworld

    f0_hz, envelope, aperiodicity = analyze(samples)
    bins = np.arange(envelope.shape[1]) / CHILD
    moved = np.stack([np.exp(np.interp(bins, np.arange(row.size), np.log(row))) for row in envelope])
    shifted = pyworld.synthesize(f0_hz * CHILD, moved, aperiodicity, RATE_HZ)
    return leveled(shifted[: samples.size], samples)


def whisper(samples: Samples) -> Samples:
    """With the same vocal tract excited by noise, and no voicing."""
    import pyworld

    f0_hz, envelope, aperiodicity = analyze(samples)
    whispered = pyworld.synthesize(np.zeros_like(f0_hz), envelope, np.ones_like(aperiodicity), RATE_HZ)
    return leveled(whispered[: samples.size], samples)


def analyze(samples: Samples) -> tuple[Samples, Samples, Samples]:
    """F0, spectral envelope and aperiodicity."""
    import pyworld

    f0_hz, times = pyworld.dio(samples, RATE_HZ)
    f0_hz = pyworld.stonemask(samples, f0_hz, times, RATE_HZ)
    envelope = pyworld.cheaptrick(samples, f0_hz, times, RATE_HZ)
    return f0_hz, envelope, pyworld.d4c(samples, f0_hz, times, RATE_HZ)


def leveled(samples: Samples, like: Samples) -> Samples:
    """With the RMS level of another recording, scaled down if it would clip."""
    scaled = samples * np.sqrt(np.mean(like**2) / max(np.mean(samples**2), 1e-12))
    return scaled / max(1.0, np.abs(scaled).max())


def shortened(samples: Samples) -> Samples:
    """`SHORT_SECONDS` of it, from its loudest sample on."""
    count = round(SHORT_SECONDS * RATE_HZ)
    begin = min(int(np.abs(samples).argmax()), samples.size - count)
    return samples[begin : begin + count]


def music(samples: Samples) -> Samples:
    """Chords of four tones with overtones, in place of it."""
    times = np.arange(samples.size) / RATE_HZ
    chord = np.array([220.0, 277.2, 329.6, 440.0])[:, None] * 2 ** (np.floor(times / 0.5) % 5 / 12)
    phases = 2 * np.pi * np.cumsum(chord, axis=1) / RATE_HZ
    tones = sum(np.sin(overtone * phases) / overtone for overtone in (1, 2, 3)).sum(axis=0)
    return leveled(tones * np.exp(-3 * (times % 0.5)), samples)


def click(samples: Samples) -> Samples:
    """A click of one sample in silence, in place of it."""
    silent = np.zeros_like(samples)
    silent[samples.size // 2] = 0.9
    return silent


def resampled(samples: Samples, rate_hz: int) -> Samples:
    import torch

    wave = vczoo.Waveform.of(torch.from_numpy(samples), RATE_HZ).resample(rate_hz)
    return wave.samples[0].double().numpy()


DAMAGES: Mapping[str, Damage] = {
    "as recorded": Damage(lambda samples: samples),
    "telephone, 8 kHz": Damage(telephone, TELEPHONE_HZ, subtype="ULAW"),
    "48 kHz stereo": Damage(stereo, STUDIO_HZ),
    "a room, 0.5 s": Damage(in_room),
    "white noise, 15 dB": Damage(lambda samples: in_noise(samples, 0.0, 15.0)),
    "white noise, 5 dB": Damage(lambda samples: in_noise(samples, 0.0)),
    "pink noise, 5 dB": Damage(lambda samples: in_noise(samples, 1.0)),
    "clipped, 20 dB over": Damage(lambda samples: samples / np.abs(samples).max() * 10 ** (CLIPPED_DB / 20)),
    "a child's voice": Damage(child, other_voice=True),
    "whispered": Damage(whisper, other_voice=True),
    "music": Damage(music, speech=False),
    "silence with a click": Damage(click, speech=False),
    "0.05 s": Damage(shortened, speech=False),
    "silence, a file": Damage(np.zeros_like, speech=False),
    "silence, in memory": Damage(np.zeros_like, speech=False, in_memory=True),
}


@dataclass(frozen=True)
class Blend:
    """A change of recordings of one person that may need those of another.

    Attributes:
        make: The function from both people's samples to the changed ones.
        converted, enrolled: Whether what is converted, and what is enrolled, is changed.
    """

    make: Callable[[Samples, Samples], Samples]
    converted: bool
    enrolled: bool

    def write(self, own: Sequence[Path], other: Sequence[Path], out: Path) -> Path:
        """Join each person's recordings, change them, and write the result to a file."""
        out.parent.mkdir(parents=True, exist_ok=True)
        joined = [
            np.concatenate([vczoo.Waveform.read(path, RATE_HZ).samples[0].double().numpy() for path in paths])
            for paths in (own, other)
        ]
        soundfile.write(out, self.make(*joined).clip(-1, 1), RATE_HZ, subtype="PCM_16")
        return out


def at_once(own: Samples, other: Samples) -> Samples:
    """Both at the same time, equally loud, as long as the first."""
    return leveled(own + leveled(np.resize(other, own.size), own), own)


def in_turn(own: Samples, other: Samples) -> Samples:
    """Half a minute of each, or less."""
    half = min(own.size, other.size, 30 * RATE_HZ)
    return np.concatenate([own[:half], leveled(other[:half], own[:half])])


BLENDS: Mapping[str, Blend] = {
    "two people at once": Blend(at_once, converted=True, enrolled=True),
    "two people in turn": Blend(in_turn, converted=False, enrolled=True),
    "2 s to enroll": Blend(lambda own, _: own[: 2 * RATE_HZ], converted=False, enrolled=True),
    "ten minutes to enroll": Blend(lambda own, _: np.resize(own, 600 * RATE_HZ), converted=False, enrolled=True),
}


def strings(digits: Path, folder: Path, speakers: int, each: int, words: int = 8) -> list[list[Path]]:
    """Recorded telephone speech: strings of digits joined from takes of one speaker, `each` per speaker."""
    by_speaker = []
    for speaker in sorted(path for path in digits.resolve().iterdir() if path.is_dir())[:speakers]:
        takes = sorted(speaker.glob("*.wav"), key=lambda path: (int(path.stem.split("_")[2]), path.stem))
        own = []
        for number in range(each):
            parts = []
            for path in [takes[(number * words + word) % len(takes)] for word in range(words)]:
                samples, rate_hz = soundfile.read(path, dtype="float32")
                parts += [samples, np.zeros(round(0.1 * rate_hz), np.float32)]
            own.append(folder / speaker.name / f"{number}.wav")
            own[-1].parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(own[-1], np.concatenate(parts), rate_hz, subtype="PCM_16")
        by_speaker.append(own)
    return by_speaker


def spoken(folder: Path, speakers: int, each: int) -> list[list[Path]]:
    """Synthetic speech in a language that no model here was trained on.

    Raises:
        VczooError: The speech synthesizer is not installed.
    """
    from vczoo.audio.espeak import SyntheticVoice, speak

    voices = ("f1", "m3", "f3", "m7")
    by_speaker: list[list[Path]] = []
    for variant in [voices[number % len(voices)] for number in range(speakers)]:
        by_speaker.append([folder / variant / f"{number}.wav" for number in range(each)])
        for number, path in enumerate(by_speaker[-1]):
            wave = speak(FOREIGN[number % len(FOREIGN)], SyntheticVoice(f"{FOREIGN_LANGUAGE}+{variant}"))
            wave.resample(RATE_HZ).save(path, overwrite=True)
    return by_speaker


def recorded(folder: Path, speakers: int, each: int) -> list[list[Path]]:
    """Recordings of a folder: SPEAKER/*.flac or *.wav; without subfolders, all count as one speaker's."""
    suffixes = {".wav", ".flac"}
    groups: Sequence[Path] = sorted(path for path in folder.resolve().iterdir() if path.is_dir()) or [folder.resolve()]
    by_speaker = [sorted(file for file in group.rglob("*") if file.suffix in suffixes)[:each] for group in groups]
    full = [own for own in by_speaker if len(own) == each]
    if not full:
        raise SystemExit(f"{folder}: no speaker has {each} recordings, SPEAKER/*.wav or *.flac")
    return [full[number % len(full)] for number in range(speakers)]
