"""kNN voice head: each content frame is replaced by the acoustic frames of its nearest neighbours in the voice."""

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
    """No parameters; fitted by enrolment. Source: kNN-VC, arXiv:2305.18975.

    The mean of the k matched acoustic frames is what is said: mels for a mel vocoder, the voice's own content frames
    for a vocoder of frames. The match is by cosine of the content frames.

    Args:
        frames: what the backbone makes.
        acoustic: what the vocoder reads.
        k: neighbours that are averaged.
        centre: whether each speaker's mean is subtracted before frames are compared; kNN-VC itself does not.
        chunk_frames: rows of the reference compared at a time, which bounds memory.

    Raises:
        ContractError: k or chunk_frames is below 1.
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
            raise ContractError(f"k and chunk_frames are 1 or more, got k={k}, chunk_frames={chunk_frames}")
        self.k, self.centre, self.chunk_frames = k, centre, chunk_frames
        self.frame_rate_hz = frames.frame_rate_hz
        self.content_per_acoustic = frames.frame_rate_hz / acoustic.frame_rate_hz
        self.first = acoustic.first_frame * self.content_per_acoustic

    def enroll(self, content: Frames, acoustic: Frames) -> dict[str, Tensor]:
        """Keep every content frame of the voice at the acoustic rate, of length 1, with its acoustic frame.

        Returns:
            `keys`, (N, C), and `acoustic`, (N, acoustic channels); where speakers are centred, also `mean`, (C,).
        """
        keys = content.resize(acoustic, self.content_per_acoustic, self.first)
        mask = acoustic.mask()[..., 0]
        kept = {"acoustic": acoustic.values[mask]}
        if self.centre:
            kept["mean"] = content.values[content.mask()[..., 0]].mean(dim=0)
            keys = keys.with_values(keys.values - kept["mean"])
        return kept | {"keys": F.normalize(keys.values[mask], dim=1)}

    def convert(self, source: Source, voice: Mapping[str, Tensor]) -> Frames:
        """(B, T, C) -> (B, T', acoustic channels).

        Raises:
            VoiceError: the voice was not enrolled with this head, or is damaged.
        """
        if "keys" not in voice:
            raise VoiceError("this voice has no reference frames; enrol it with recordings: vc.enroll(name, files)")
        if len(voice["keys"]) != len(voice["acoustic"]):
            raise VoiceError(
                f"this voice is damaged: {len(voice['keys'])} frames to match, {len(voice['acoustic'])} to say; "
                "enrol it with recordings again: vc.enroll(name, files)"
            )
        queries = source.content.resize(source.pitch, self.content_per_acoustic, self.first)
        values = queries.values
        if self.centre:
            values = values - source_centre(source.content, self.frame_rate_hz, voice["mean"])[:, None]
        flat = F.normalize(values.flatten(0, 1), dim=1)
        matches = nearest_frames(flat, voice["keys"], self.k, self.chunk_frames)
        return queries.with_values(voice["acoustic"][matches].mean(dim=1).view(*values.shape[:2], -1))
