"""Fixtures for every test: small real files, made here, so that the suite runs offline."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.hub.client import pointed_at
from tests.support.hub.server import HubServer

ToneMaker = Callable[..., Path]

# F0 and how far the formants are from a long vocal tract's, for three voices that a classifier can tell apart.
SPEAKERS = {"alice": (215.0, 1.2), "bob": (105.0, 0.9), "carol": (160.0, 1.05)}
VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))

# A shell ignores SIGINT in its background jobs, and nohup SIGHUP; commands that the tests start would, too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def shared() -> Path:
    """The folder of real speech and models beside the repository; tests skip where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("there is no folder of shared data beside the repository")
    return folder


@pytest.fixture
def tone() -> ToneMaker:
    """Write a sine to a real file: `tone(path, hz=440, seconds=0.5, rate_hz=16000, channels=1, peak=0.5)`."""

    def write(
        path: Path,
        *,
        hz: float = 440.0,
        seconds: float = 0.5,
        rate_hz: int = 16000,
        channels: int = 1,
        peak: float = 0.5,
        subtype: str | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        sine = peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)
        soundfile.write(path, np.repeat(sine[:, None], channels, axis=1), rate_hz, subtype=subtype)
        return path

    return write


@pytest.fixture(scope="session")
def voices_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<folder>/<speaker>/<n>.wav`: three speakers say the same six "utterances"; 16 kHz, 0.6 to 1.2 s. Read only.

    An utterance is a row of vowels, harmonics under formants that the speaker scales, each with its envelope.
    """
    folder = tmp_path_factory.mktemp("voices")
    for name, (f0_hz, formants) in SPEAKERS.items():
        (folder / name).mkdir()
        for number in range(6):
            samples = synthetic_utterance(number, f0_hz, formants)
            soundfile.write(folder / name / f"{number}.wav", samples, 16000, subtype="PCM_16")
    return folder


def synthetic_utterance(number: int, f0_hz: float, formants: float, rate_hz: int = 16000) -> np.ndarray:
    """(S,) float64: what is said depends on `number` alone, who says it on the rest."""
    random = np.random.default_rng(number)
    parts = []
    for vowel in random.permutation(len(VOWELS_HZ))[: 3 + number % 3]:
        count = round(random.uniform(0.2, 0.24) * rate_hz)
        time = np.arange(count) / rate_hz
        pitch_hz = f0_hz * (1 + random.uniform(-0.1, 0.1) + 0.05 * np.sin(2 * np.pi * 3 * time))
        phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
        harmonics = np.arange(1, int(7000 / (1.2 * f0_hz)))
        distances_hz = harmonics[:, None] * f0_hz - formants * np.array(VOWELS_HZ[vowel])
        gains = (1 / (1 + (distances_hz / 120) ** 2)).sum(axis=1) + 0.01
        voiced = (gains[:, None] * np.sin(harmonics[:, None] * phase)).sum(axis=0)
        parts.append(voiced / np.abs(voiced).max() * np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 0.5)
    samples = 0.6 * np.concatenate(parts)
    return samples + 0.001 * random.standard_normal(samples.size)


# A demo network small enough to train in a second.
SMALL = (
    "backbone.width=16",
    "backbone.blocks=1",
    "heads.speaker.hidden=[32, 16]",
    "heads.speaker.dropout=0.1",
    "heads.voice.width=16",
    "heads.voice.blocks=2",
    "heads.voice.bottleneck=8",
    "vocoder.iterations=4",
    "training.epochs=3",
    "training.crop_seconds=0.64",
    "training.batch_size=4",
    "training.learning_rate=0.01",
)


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Overrides of the recipe `demo` that make it small."""
    return SMALL


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory, voices_folder: Path) -> Path:
    """A run of the small demo on `voices_folder`. Read only."""
    import vczoo

    folder = tmp_path_factory.mktemp("trained") / "run"
    vczoo.finetune("demo", voices_folder, folder, [*SMALL, "training.epochs=25"], progress=False)
    return folder


@pytest.fixture
def run_folder(tmp_path: Path, trained_folder: Path) -> Path:
    """A copy of `trained_folder`, to be written to."""
    return Path(shutil.copytree(trained_folder, tmp_path / "run"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A Hub on this machine, which `huggingface_hub` talks to as `me` (token `hf_me`), here and in subprocesses."""
    with HubServer() as server, pointed_at(server.endpoint, tmp_path / "hf", "hf_me"):
        server.add_user("me", token="hf_me")
        yield server
