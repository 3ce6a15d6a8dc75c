"""Voice head that converts by k-nearest-neighbor search (kNN-VC).

It replaces each content frame by the acoustic frames of its nearest neighbors in the voice.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError, VoiceError
from vczoo.modules.interfaces.heads import Source, VoiceHead
from vczoo.modules.nn.nearest_frames import CHUNK_FRAMES, nearest_frames, source_centre

__all__ = ["KNN"]


class KNN(VoiceHead):
    """Conversion by nearest neighbors. Source: kNN-VC, arXiv:2305.18975.

    Content frames are compared by cosine similarity. The output is the mean of the k matched acoustic frames: log-mels
    for a mel vocoder, or the voice's content frames for a vocoder that reads frames. The head has no parameters;
    enrollment stores the frames of the voice.

    Args:
        frames: Format of the backbone's frames.
        acoustic: Format of the vocoder's input.
        k: Number of neighbors to average.
        centre: Whether to subtract each speaker's mean before frames are compared. kNN-VC itself does not.
        chunk_frames: Number of frames that are compared at a time, which limits memory.

    Raises:
        ContractError: `k` or `chunk_frames` is below 1.
    """

    def __init__(
        self,
        *,
        frames: FrameSpec,
        acoustic: MelSpec | FrameSpec,
        k: int = 4,
        centre: bool = True,
        chunk_frames: int = CHUNK_FRAMES,
    ) -> None:
        super().__init__()
        if k < 1 or chunk_frames < 1:
            raise ContractError(f"k and chunk_frames must be 1 or more, got k={k}, chunk_frames={chunk_frames}")
        self.k, self.centre, self.chunk_frames = k, centre, chunk_frames
        self.frame_rate_hz = frames.frame_rate_hz
        self.content_per_acoustic = frames.frame_rate_hz / acoustic.frame_rate_hz
        self.first = acoustic.first_frame * self.content_per_acoustic

    def enroll(self, content: Frames, acoustic: Frames) -> dict[str, Tensor]:
        """Return all content frames of the voice at the acoustic frame rate, with their acoustic frames.

        Returns:
            `keys`, the content frames scaled to length 1, (N, C), and `acoustic`, (N, acoustic channels). If speakers
            are centered, also `mean`, (C,).
        """
        keys = content.resize(acoustic, self.content_per_acoustic, self.first)
        mask = acoustic.mask()[..., 0]
        tensors = {"acoustic": acoustic.values[mask]}
        if self.centre:
            tensors["mean"] = content.values[content.mask()[..., 0]].mean(dim=0)
            keys = keys.with_values(keys.values - tensors["mean"])
        return tensors | {"keys": F.normalize(keys.values[mask], dim=1)}

    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """Convert recordings to a voice: (B, T, C) -> (B, T', acoustic channels).

        Raises:
            VoiceError: The voice was not enrolled with this head, or it is damaged.
        """
        if "keys" not in voice:
            raise VoiceError("this voice has no reference frames; enroll it with recordings: vc.enroll(name, files)")
        if len(voice["keys"]) != len(voice["acoustic"]):
            raise VoiceError(
                f"this voice is damaged: {len(voice['keys'])} content frames but {len(voice['acoustic'])} acoustic "
                "frames; enroll it with recordings again: vc.enroll(name, files)"
            )
        queries = source.content.resize(source.pitch, self.content_per_acoustic, self.first)
        values = queries.values
        if self.centre:
            values = values - source_centre(source.content, self.frame_rate_hz, voice["mean"])[:, None]
        flat = F.normalize(values.flatten(0, 1), dim=1)
        matches = nearest_frames(flat, voice["keys"], self.k, self.chunk_frames)
        return queries.with_values(voice["acoustic"][matches].mean(dim=1).view(*values.shape[:2], -1))
