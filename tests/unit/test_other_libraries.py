"""The lines of `docs/from-other-libraries.md` run, with objects as the other libraries make them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import vczoo
from tests.support.paths import ROOT
from tests.unit.data.test_dataset_rows import rows_of

PAGE = ROOT / "docs" / "from-other-libraries.md"
LINES = re.findall(r"^\| .* \| `(.+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def names(made_run: Path, voices_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the lines name. Libraries that the tests cannot expect are stand-ins with the functions' real results."""
    for name, source in {"hello.wav": "bob/1.wav", "carol1.wav": "carol/1.wav"}.items():
        shutil.copy(voices_folder / source, tmp_path / name)
    shutil.copytree(made_run, tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCZOO_CACHE", str(tmp_path / "cache"))
    samples, rate_hz = soundfile.read("hello.wav", dtype="float32")
    whole = (samples * 32768).astype(np.int16)
    return {
        "vczoo": vczoo,
        "torch": torch,
        "soundfile": soundfile,
        "librosa": SimpleNamespace(load=lambda path, sr: (samples, rate_hz)),
        "torchaudio": SimpleNamespace(load=lambda path: (torch.from_numpy(samples)[None], rate_hz)),
        "scipy": SimpleNamespace(io=SimpleNamespace(wavfile=SimpleNamespace(read=lambda path: (rate_hz, whole)))),
        "vc": vczoo.load("./runs/mine"),
        "samples": samples,
        "audio": (rate_hz, np.stack([whole, whole], axis=1)),
        "wave": vczoo.Waveform.read("hello.wav"),
        "backbone": vczoo.create_backbone("mel-conv", width=16, blocks=1).eval(),
        "dataset": rows_of(voices_folder),
        "row": {"audio": {"path": "hello.wav", "array": samples.astype(np.float64), "sampling_rate": rate_hz}},
    }


@pytest.mark.filterwarnings("ignore::vczoo.VoiceWarning")
@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_table_runs(line: str, names: dict[str, Any]) -> None:
    result = eval(compile(line, str(PAGE), "eval"), names)
    if line.startswith("vc.convert") and isinstance(result, vczoo.Waveform):
        expected = names["vc"].convert("hello.wav", "alice")
        torch.testing.assert_close(result.samples, expected.samples, atol=1e-4, rtol=0)


def test_the_table_has_lines() -> None:
    assert len(LINES) > 10
