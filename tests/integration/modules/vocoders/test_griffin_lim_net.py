"""The vocoder whose magnitudes a network makes: it starts as Griffin-Lim, and learns what the mel has lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import vczoo
from vczoo.training.vocoder.train import train_vocoder

TINY = ("vocoder.use=griffin-lim-net", "vocoder.width=8", "vocoder.blocks=1", "vocoder.iterations=2")


FEW = (
    "backbone.width=8",
    "backbone.blocks=1",
    *TINY,
    "vocoder_training.steps=12",
    "vocoder_training.validate_every=6",
    "vocoder_training.batch_size=2",
    "vocoder_training.crop_seconds=0.2",
    "vocoder_training.learning_rate=0.01",
    "vocoder_training.adversarial_from=0.5",
    "vocoder_training.discriminators=coarse",
    "vocoder_training.discriminator_channels=1",
    "vocoder_training.gain_db=6",
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_it_trains_beside_discriminators_that_look_coarsely(tmp_path: Path, voices_folder: Path) -> None:
    """In its second half; on excerpts of several levels."""
    trained = train_vocoder("demo", voices_folder, tmp_path / "out", FEW, progress=False)
    before, after = (record["train"] for record in trained.history)
    assert set(before) == {"loss", "mel", "stft"}
    assert set(after) == {"loss", "mel", "stft", "adversarial", "features", "discriminators"}
    assert vczoo.load("demo", [*FEW[:2], *TINY, f"vocoder.weights={trained.file}"]).model.vocoder is not None
