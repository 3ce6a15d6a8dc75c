"""What a notebook and a Python prompt show of an object: one line, and a player of a waveform."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import vczoo
from vczoo.audio.frames import Frames
from vczoo.audio.provenance_mark import Mark
from vczoo.audio.waveform import Waveform
from vczoo.evaluation.metrics.bootstrap import Figure
from vczoo.evaluation.references import References
from vczoo.evaluation.report import Report, Scores
from vczoo.evaluation.scorer import Conversion
from vczoo.modules.interfaces.heads import Voice

RATE_HZ = 16000
SCORES = Scores("demo", "system", {"wer": Figure(0.1, 0.0, 0.2, 9)}, trials=({"wer": 0.1},) * 500)


def test_objects_are_one_short_line(voices_folder: Path) -> None:
    wave = Waveform.of(torch.zeros(3, 2 * RATE_HZ), RATE_HZ)
    lines = {
        "<Waveform (3, 32000): 6.00 s at 16000 Hz>": wave,
        "<Frames (1, 50, 7): 50 valid>": Frames.of(torch.zeros(50, 7)),
        "<Voice 'bob': speaker.embedding, pitch>": Voice(
            "bob", {"speaker.embedding": torch.zeros(192), "pitch": torch.zeros(1)}
        ),
        "<Corpus: 3 speakers, 18 utterances, 0.3 minutes, 0 skipped>": vczoo.read_corpus(voices_folder),
        "<Scores of demo (system): 1 figures, 500 trials>": SCORES,
        "<Report of 7 systems: demo, demo, demo, demo, demo, and 2 more>": Report((SCORES,) * 7),
        "<Conversion: 2 recordings>": Conversion((wave, wave)),
        "<References of 1 speakers: 2 recordings, 0 held out>": References({"bob": (Path("a"), Path("b"))}),
    }
    assert {repr(thing): thing for thing in lines.values()} == lines


def test_a_run_and_its_recipe_are_one_short_line(made_run: Path) -> None:
    run = vczoo.load(made_run).run
    assert repr(run) == f"<Run demo: 3 speakers, 3 voices, {made_run}>"
    assert repr(run.recipe) == "<Recipe demo: mel-conv, speaker-classifier, mel-decoder, griffin-lim>"


def sounds(html: str) -> list[bytes]:
    return [base64.b64decode(text) for text in re.findall(r'src="data:audio/wav;base64,([^"]*)"', html)]


def test_a_waveform_is_a_player_with_its_mark() -> None:
    mark = Mark("demo<script>", {"bob": 1.0}, "1234567890abcdef")
    samples = 0.5 * torch.sin(torch.arange(RATE_HZ) / 10)
    html = Waveform(samples[None], RATE_HZ, torch.tensor([8000]), mark)._repr_html_()
    (sound,) = sounds(html)
    with soundfile.SoundFile(io.BytesIO(sound)) as file:
        assert Mark.parse(file.comment) == mark
        np.testing.assert_allclose(file.read(dtype="float32"), samples[:8000].numpy(), atol=1e-4)
    assert "<script>" not in html


@pytest.mark.parametrize("fill", [0.1, float("nan")])
def test_a_player_is_bounded(fill: float) -> None:
    html = Waveform.of(torch.full((9, 90 * 2000), fill), 2000)._repr_html_()
    assert [len(sound) // 2 // 2000 for sound in sounds(html)] == ([60] * 5 if fill == 0.1 else [])
    assert "and 4 more recordings" in html
    assert html.count("the first 60 s") == 5
    assert Waveform.of(torch.zeros(0), 16000)._repr_html_() == "<div>&lt;Waveform (1, 0): 0.00 s at 16000 Hz&gt;</div>"
