"""The demo, made small: every figure of its table is measured, and its files are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from vczoo import demo
from vczoo.errors import VczooError
from vczoo.waveform import Waveform


def test_the_demo_converts_to_a_trained_and_to_an_enrolled_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.setattr(demo, "UTTERANCES", 6)
    real = demo.finetune
    overrides = ["training.epochs=6", "training.batch_size=4", "vocoder.iterations=4", "heads.voice.width=32"]
    monkeypatch.setattr(demo, "finetune", lambda recipe, data, out: real(recipe, data, out, overrides, progress=False))
    rows, files = demo.run_demo(tmp_path / "demo")
    table = {row["what"]: row["value"] for row in rows}
    assert float(table["speaker accuracy, 4 voices, unheard test sentences"]) >= 0.5  # chance is .25
    before, after = (
        [float(value) for what, value in table.items() if what.startswith("similarity to") and what.endswith(end)]
        for end in ("before", "after")
    )
    assert len(before) == 2
    assert after[0] > before[0]
    *waves, run = files
    assert len(waves) == 3
    assert all(Waveform.read(path).seconds > 1 for path in waves)
    assert (run / "vczoo.yaml").is_file()
    with pytest.raises(VczooError, match="exists; choose another folder"):
        demo.run_demo(tmp_path / "demo")
