"""Speech of 16 kHz in; the same as telephones, stereo recorders, noise, other throats and bad levels make of it, out.

WORLD (Morise et al. 2016, pyworld) takes speech apart for the child and the whisper. Everything is seeded.
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
NOISE_DB = 5.0  # speech over noise
CHILD = 1.35  # pitch and formants, times
CLIPPED_DB = 20.0  # over full scale
SHORT_SECONDS = 0.05
# Of none of the languages that `base` learnt from: Finnish, written for this project.
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
    """What becomes of a recording.

    Attributes:
        make: (S,) at 16 kHz -> (S',) or (S', channels).
        rate_hz: of what it makes.
        other_voice: whether it no longer is its speaker's voice.
        speech: whether there are words and a voice left to be measured.
        subtype: how the file stores samples.
        in_memory: whether it is given as a waveform, which no reader of files has looked at.
    """

    make: Callable[[Samples], Samples]
    rate_hz: int = RATE_HZ
    other_voice: bool = False
    speech: bool = True
    subtype: str = "PCM_16"
    in_memory: bool = False

    def write(self, source: Path, out: Path) -> Path:
        """The recording, damaged, as a file."""
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


def in_noise(samples: Samples, colour: float) -> Samples:
    """Under noise whose power falls with frequency to this power: 0 is white, 1 pink."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(samples.size))
    hz = np.fft.rfftfreq(samples.size, 1 / RATE_HZ)
    noise = np.fft.irfft(spectrum / np.maximum(hz, 20.0) ** (colour / 2), samples.size)
    noise *= np.sqrt(np.mean(samples**2) / np.mean(noise**2)) * 10 ** (-NOISE_DB / 20)
    mixed = samples + noise
    return mixed / max(1.0, np.abs(mixed).max())


def child(samples: Samples) -> Samples:
    """Pitch and formants of a shorter throat, at the same tempo."""
    import pyworld

    f0_hz, envelope, aperiodicity = analysed(samples)
    bins = np.arange(envelope.shape[1]) / CHILD
    moved = np.stack([np.exp(np.interp(bins, np.arange(row.size), np.log(row))) for row in envelope])
    made = pyworld.synthesize(f0_hz * CHILD, moved, aperiodicity, RATE_HZ)
    return levelled(made[: samples.size], samples)


def whisper(samples: Samples) -> Samples:
    """The same throat over noise, with no voicing."""
    import pyworld

    f0_hz, envelope, aperiodicity = analysed(samples)
    made = pyworld.synthesize(np.zeros_like(f0_hz), envelope, np.ones_like(aperiodicity), RATE_HZ)
    return levelled(made[: samples.size], samples)


def analysed(samples: Samples) -> tuple[Samples, Samples, Samples]:
    """F0, spectral envelope and aperiodicity."""
    import pyworld

    f0_hz, times = pyworld.dio(samples, RATE_HZ)
    f0_hz = pyworld.stonemask(samples, f0_hz, times, RATE_HZ)
    envelope = pyworld.cheaptrick(samples, f0_hz, times, RATE_HZ)
    return f0_hz, envelope, pyworld.d4c(samples, f0_hz, times, RATE_HZ)


def levelled(samples: Samples, like: Samples) -> Samples:
    """As loud as another."""
    made = samples * np.sqrt(np.mean(like**2) / max(np.mean(samples**2), 1e-12))
    return made / max(1.0, np.abs(made).max())


def shortened(samples: Samples) -> Samples:
    """From its loudest sample on."""
    count = round(SHORT_SECONDS * RATE_HZ)
    begin = min(int(np.abs(samples).argmax()), samples.size - count)
    return samples[begin : begin + count]


def resampled(samples: Samples, rate_hz: int) -> Samples:
    import torch

    wave = vczoo.Waveform.of(torch.from_numpy(samples), RATE_HZ).resample(rate_hz)
    return wave.samples[0].double().numpy()


DAMAGES: Mapping[str, Damage] = {
    "as recorded": Damage(lambda samples: samples),
    "telephone, 8 kHz": Damage(telephone, TELEPHONE_HZ, subtype="ULAW"),
    "48 kHz stereo": Damage(stereo, STUDIO_HZ),
    "white noise, 5 dB": Damage(lambda samples: in_noise(samples, 0.0)),
    "pink noise, 5 dB": Damage(lambda samples: in_noise(samples, 1.0)),
    "clipped, 20 dB over": Damage(lambda samples: samples / np.abs(samples).max() * 10 ** (CLIPPED_DB / 20)),
    "a child's voice": Damage(child, other_voice=True),
    "whispered": Damage(whisper, other_voice=True),
    "0.05 s": Damage(shortened, speech=False),
    "silence, a file": Damage(np.zeros_like, speech=False),
    "silence, in memory": Damage(np.zeros_like, speech=False, in_memory=True),
}


def strings(digits: Path, folder: Path, speakers: int, each: int, words: int = 8) -> list[list[Path]]:
    """Recorded telephone speech: takes of one speaker, one digit after another, `each` strings of each speaker."""
    found = []
    for who in sorted(path for path in digits.resolve().iterdir() if path.is_dir())[:speakers]:
        takes = sorted(who.glob("*.wav"), key=lambda path: (int(path.stem.split("_")[2]), path.stem))
        own = []
        for number in range(each):
            parts = []
            for path in [takes[(number * words + word) % len(takes)] for word in range(words)]:
                samples, rate_hz = soundfile.read(path, dtype="float32")
                parts += [samples, np.zeros(round(0.1 * rate_hz), np.float32)]
            own.append(folder / who.name / f"{number}.wav")
            own[-1].parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(own[-1], np.concatenate(parts), rate_hz, subtype="PCM_16")
        found.append(own)
    return found


def spoken(folder: Path, speakers: int, each: int) -> list[list[Path]]:
    """Synthetic speech in a language that nothing here was trained on.

    Raises:
        VczooError: the synthesiser is not installed.
    """
    from vczoo.audio.espeak import SyntheticVoice, speak

    voices = ("f1", "m3", "f3", "m7")
    found: list[list[Path]] = []
    for variant in [voices[number % len(voices)] for number in range(speakers)]:
        found.append([folder / variant / f"{number}.wav" for number in range(each)])
        for number, path in enumerate(found[-1]):
            wave = speak(FOREIGN[number % len(FOREIGN)], SyntheticVoice(f"{FOREIGN_LANGUAGE}+{variant}"))
            wave.resample(RATE_HZ).save(path, overwrite=True)
    return found


def recorded(folder: Path, speakers: int, each: int) -> list[list[Path]]:
    """Recordings of a folder, SPEAKER/*.flac or *.wav, or all of one speaker's without folders."""
    wanted = {".wav", ".flac"}
    groups: Sequence[Path] = sorted(path for path in folder.resolve().iterdir() if path.is_dir()) or [folder.resolve()]
    found = [sorted(file for file in group.rglob("*") if file.suffix in wanted)[:each] for group in groups]
    full = [own for own in found if len(own) == each]
    if not full:
        raise SystemExit(f"{folder}: nobody there has {each} recordings, SPEAKER/*.wav or *.flac")
    return [full[number % len(full)] for number in range(speakers)]
