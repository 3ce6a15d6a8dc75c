"""One sentence in training and held out: named, and not suspected where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import SPEAKERS, synthetic_utterance
from vczoo.data.corpus_reader import read_corpus


def two_microphones(folder: Path, names: tuple[str, str], lag: int = 0) -> Path:
    """Eight sentences of two speakers, each with two microphones."""
    for speaker in ("alice", "bob"):
        (folder / speaker).mkdir(parents=True)
        for number in range(8):
            samples = synthetic_utterance(number, *SPEAKERS[speaker])
            samples = np.concatenate([samples, samples[:4000]])  # at least a second
            far = 0.8 * np.convolve(samples, [0.6, 0.3, 0.1])[: len(samples) - lag]
            for name, wave in zip(names, (samples, far), strict=True):
                soundfile.write(folder / speaker / name.format(number), wave, 16000)
    return folder


@pytest.mark.parametrize(
    ("names", "lag"),
    [
        (("{:03}_mic1.wav", "{:03}_mic2.wav"), 900),  # by name
        (("{:03}-left.wav", "{:03}-right.wav"), 900),
        (("a{}.wav", "b{}.wav"), 0),  # by duration and loudness
    ],
)
def test_a_sentence_of_two_microphones_is_pointed_out(tmp_path: Path, names: tuple[str, str], lag: int) -> None:
    corpus = read_corpus(two_microphones(tmp_path / "voices", names, lag))
    (note,) = corpus.notes
    trained = {u.path.stem.strip("ab")[:3] for u in corpus.split("train") if u.speaker == "alice"}
    assert "likely leak: " in note
    assert "column group" in note
    assert note in corpus.report()
    leaked = [u for u in (*corpus.split("test"), *corpus.split("validation")) if u.path.stem.strip("ab")[:3] in trained]
    assert leaked
    assert any(f"  {u.path.name} ({u.split}) and " in note for u in leaked)


def test_a_group_is_the_remedy(tmp_path: Path) -> None:
    voices = two_microphones(tmp_path / "voices", ("{}_mic1.wav", "{}_mic2.wav"))
    rows = [f"{path},{path.parent.name},{path.stem[0]}" for path in sorted(voices.rglob("*.wav"))]
    (tmp_path / "m.csv").write_text("\n".join(["path,speaker,group", *rows]))
    corpus = read_corpus(tmp_path / "m.csv")
    assert corpus.notes == ()
    for held_out in (*corpus.split("test"), *corpus.split("validation")):
        assert held_out.path.stem[0] not in {u.path.stem[0] for u in corpus.split("train")}


def test_other_sentences_and_tones_are_not_suspected(voices_folder: Path, tmp_path: Path, tone) -> None:
    assert read_corpus(voices_folder).notes == ()  # speakers say the same, each in the same time
    for number in range(6):
        tone(tmp_path / "t" / "ann" / f"{number}.wav", hz=200 + 50 * number, seconds=2.0)
    assert read_corpus(tmp_path / "t").notes == ()


def test_parts_that_overlap_are_pointed_out(tmp_path: Path, tone) -> None:
    tone(tmp_path / "a.wav", seconds=4.0)
    rows = ["a.wav,ann,0,1,train", "a.wav,ann,0.8,2,test", "a.wav,ann,2,3,validation", "a.wav,ann,3,4,train"]
    (tmp_path / "m.csv").write_text("\n".join(["path,speaker,start,end,split", *rows]))
    (note,) = read_corpus(tmp_path / "m.csv").notes
    assert "1 held-out recording" in note
