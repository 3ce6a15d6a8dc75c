"""Long recordings are cut at pauses, and a minute in one file is a corpus."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SPEAKERS, synthetic_utterance
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus_reader import read_corpus
from vczoo.data.excerpts import UtteranceReader
from vczoo.data.pauses import cut_at_pauses


def speech(sentences: int = 12, rate_hz: int = 16000) -> tuple[Waveform, list[tuple[float, float]]]:
    """Sentences of 4 to 6 s with pauses of 0.6 s, and where the pauses are, in seconds."""
    random, parts, pauses, seconds = np.random.default_rng(0), [], [], 0.0
    for _ in range(sentences):
        words = [synthetic_utterance(int(n), *SPEAKERS["alice"]) for n in random.integers(0, 20, 6)]
        parts += [*words, 0.001 * random.standard_normal(round(0.6 * rate_hz))]
        seconds += sum(map(len, words)) / rate_hz
        pauses.append((seconds, seconds + 0.6))
        seconds += 0.6
    return Waveform.of(torch.from_numpy(np.concatenate(parts)), rate_hz), pauses


def test_pieces_end_in_pauses_and_cover_the_recording() -> None:
    wave, pauses = speech()
    pieces = cut_at_pauses(wave)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == pytest.approx(wave.seconds, abs=0.021)
    assert all(end == start for (_, end), (start, _) in pairwise(pieces))
    assert all(3 <= end - start <= 9 for start, end in pieces)
    for _, end in pieces[:-1]:
        assert any(first + 0.1 <= end <= last - 0.1 for first, last in pauses), end
    assert cut_at_pauses(wave) == pieces


def test_a_short_recording_is_one_piece_and_silence_is_none() -> None:
    wave, _ = speech(1)
    assert cut_at_pauses(wave) == [(0.0, pytest.approx(wave.seconds, abs=0.021))]
    silence = torch.zeros(1, 40 * 16000)
    long = Waveform.of(torch.cat([wave.samples, silence, wave.samples], dim=1), 16000)
    pieces = cut_at_pauses(long)
    assert sum(end - start for start, end in pieces) < 3 * wave.seconds
    assert pieces[-1][1] == pytest.approx(long.seconds, abs=0.021)


def test_one_long_recording_is_a_corpus(tmp_path: Path) -> None:
    wave, _ = speech()
    file = wave.save(tmp_path / "me.wav")
    corpus = read_corpus(file, speaker="me")
    assert corpus.speakers == ("me",)
    assert len(corpus.split("train")) >= 6
    assert len(corpus.split("validation")) == len(corpus.split("test")) == 1
    assert corpus.notes == (f"me.wav of me was cut at pauses into {len(corpus.utterances)} pieces",)
    reader = UtteranceReader(16000)
    assert sum(reader.read(u).samples.shape[1] for u in corpus.utterances) == pytest.approx(
        16000 * wave.seconds, abs=400
    )
    (tmp_path / "voices" / "me").mkdir(parents=True)
    shutil.copy(file, tmp_path / "voices" / "me" / "me.wav")
    again = read_corpus(tmp_path / "voices")
    assert [(u.first_second, u.seconds, u.split) for u in again.utterances] == [
        (u.first_second, u.seconds, u.split) for u in corpus.utterances
    ]
    (tmp_path / "m.jsonl").write_text(corpus.to_jsonl())
    assert read_corpus(tmp_path / "m.jsonl") == corpus


def test_recordings_with_a_text_or_a_split_and_those_of_many_stay_whole(tmp_path: Path) -> None:
    wave, _ = speech(4)
    files = [wave.save(tmp_path / "v" / "me" / f"{number}.wav") for number in range(3)]
    (tmp_path / "v" / "me" / "0.txt").write_text("what is said")
    assert [u.is_part for u in read_corpus(tmp_path / "v").utterances].count(False) == 1
    rows = [f"{file},me,{split}" for file, split in zip(files, ("train", "validation", "test"), strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(["path,speaker,split", *rows]))
    assert not any(u.is_part for u in read_corpus(tmp_path / "m.csv").utterances)
    for number in range(3, 10):
        shutil.copy(files[0], tmp_path / "v" / "me" / f"{number}.wav")
    assert not any(u.is_part for u in read_corpus(tmp_path / "v").utterances)
