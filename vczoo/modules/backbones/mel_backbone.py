"""`MelBackbone`, the base class of backbones that read the zoo's own log-mels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.modules.interfaces.backbone import Backbone

__all__ = ["MEL_FRAMES_PER_FRAME", "MelBackbone"]

MEL_FRAMES_PER_FRAME = 2  # a frame is 20 ms long
WIDTH_MULTIPLE = 32  # mel frames are padded to a multiple of this, so that similar lengths share a batch


class MelBackbone(Backbone):
    """Base class of backbones that read log-mels.

    The first stage gets (B, num_mels, T), where T is a multiple of 32. The values are from -1 (silence) to about 1.

    Args:
        num_mels: Number of bands of the mel.
    """

    def __init__(self, num_mels: int) -> None:
        super().__init__()
        self.mel_spec = MelSpec(num_mels=num_mels)
        self.mel = LogMel(self.mel_spec)

    def padded_length(self, num_samples: int) -> int:
        """Return the length in samples, rounded up to a multiple of 32 mel frames."""
        count = -(-self.mel_spec.num_frames(num_samples) // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
        return count * self.mel_spec.hop_length

    def prepare(self, wave: Waveform) -> Tensor:
        """Compute scaled log-mels: (B, S) -> (B, num_mels, T), where T is a multiple of 32."""
        mel = self.mel(wave)
        floor = math.log(self.mel_spec.floor)
        values = torch.where(mel.mask(), mel.values, torch.full_like(mel.values, floor))
        missing = -values.shape[1] % WIDTH_MULTIPLE
        values = nn.functional.pad(values, (0, 0, 0, missing), value=floor)
        return (values / abs(floor) * 2 + 1).transpose(1, 2)
