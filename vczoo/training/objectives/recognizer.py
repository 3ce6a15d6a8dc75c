"""What a recognizer of speech hears in mels, as features that can be compared."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import MelSpec
from vczoo.errors import WeightsError
from vczoo.io.tensor_file import read_layout
from vczoo.modules.backbones.content_whisper import ENCODER, ContentWhisper

__all__ = ["Recognizer"]


class Recognizer(nn.Module):
    """The whole encoder of a Whisper checkpoint, frozen.

    The distance of its last layer's outputs is a perceptual loss (arXiv:1603.08155) for words. What is constant in a
    segment, such as much of the speaker, is removed by instance normalization.

    Args:
        checkpoint: Path of a .safetensors file in the layout of transformers (`openai/whisper-tiny.en`).

    Raises:
        WeightsError: The file is absent, or no checkpoint of Whisper.
    """

    def __init__(self, checkpoint: str | Path) -> None:
        super().__init__()
        if not Path(checkpoint).is_file():
            raise WeightsError(
                f"training.recognizer: {checkpoint} is absent (relative paths start at {Path.cwd()}). It is the "
                "model.safetensors of openai/whisper-tiny.en. Run "
                "`hf download openai/whisper-tiny.en model.safetensors --local-dir whisper-tiny.en`, "
                "or set training.recognizer to the path of your copy"
            )
        layout = read_layout(Path(checkpoint))  # its sizes decide those of the encoder, which reads the tensors
        if (first := layout.get(f"{ENCODER}conv1.weight")) is None:
            raise WeightsError(
                f"{checkpoint} is no checkpoint of Whisper: it has no tensor {ENCODER}conv1.weight; "
                "training.recognizer takes the model.safetensors of openai/whisper-tiny.en, or of another size"
            )
        layers = {name.split(".")[3] for name in layout if name.startswith(f"{ENCODER}layers.")}
        self.encoder = ContentWhisper(
            weights=str(checkpoint),
            layers=len(layers),
            width=first.shape[0],
            blocks=0,
            block_width=1,
            channels=1,
            perturb=0,
        )
        self.requires_grad_(False).eval()

    def forward(self, mel: Frames, spec: MelSpec) -> Frames:
        """Return the last layer's outputs for natural log-mels: (B, T, 80) -> (B, T / 2, width).

        Raises:
            ContractError: The mels do not have the bands and hop length of Whisper's, or are no natural logarithms.
        """
        return self.encoder.encoded_mel(mel, spec)
