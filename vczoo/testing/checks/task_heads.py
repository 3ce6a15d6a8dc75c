"""What text, label and frame heads promise: a `Specimen` of one in; nothing or a `ContractError` out.

`vczoo.testing.checks.heads` asks these for heads of their kinds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vczoo.audio.frames import Frames
from vczoo.errors import ContractError
from vczoo.modules.interfaces.heads import FrameHead, LabelHead, Loss, TextHead
from vczoo.testing.checks.expectations import expect, expect_same, expect_shape
from vczoo.testing.checks.specimen import Specimen, UnsupportedError

__all__ = [
    "frame_loss",
    "frame_padding",
    "frame_shapes",
    "label_loss",
    "label_padding",
    "label_shapes",
    "relabel",
    "text_loss",
    "text_padding",
    "text_shapes",
    "texts",
]

ONE = 2e-3  # from 1 that probabilities may add up to, after bfloat16


def text_shapes(head: TextHead, content: Frames) -> None:
    """Of each character a log-probability at each time, and a text an item."""
    with torch.inference_mode():
        found, texts = head.log_probabilities(content), head.transcribe(content)
    width = 1 + len(head.alphabet)
    promise = "`log_probabilities` gives (B, T', 1 + len(alphabet))"
    expect_shape(found.values, (len(content), found.values.shape[1], width), promise)
    valid = found.values[found.mask()[..., 0]]
    expect(bool(valid.isfinite().all()), "log-probabilities are finite and read no padding")
    total = valid.exp().sum(dim=1)
    expect(bool(((total - 1).abs() < ONE).all()), "probabilities of each time add up to 1")
    expect(len(texts) == len(content), f"`transcribe` gives a text an item, got {len(texts)} of {len(content)}")


def text_padding(head: TextHead, content: Frames) -> None:
    """An item of a batch gives what it gives alone."""
    with torch.inference_mode():
        found, texts = head.log_probabilities(content), head.transcribe(content)
        for index in range(len(content)):
            alone = head.log_probabilities(content[index])
            promise = f"`log_probabilities` reads no padding (item {index})"
            expect(bool(found.lengths[index] == alone.lengths[0]), promise)
            expect_same(found[index].values, alone.values, promise)
            expect(texts[index] == head.transcribe(content[index])[0], f"`transcribe` reads no padding (item {index})")


def text_loss(head: TextHead, content: Frames) -> Loss:
    """Of texts that fit each item."""
    return head.loss(content, _fitting(head, content.lengths.tolist()))


def label_shapes(head: LabelHead, content: Frames) -> None:
    """A logit for each label."""
    with torch.inference_mode():
        logits = head.logits(content)
    expect_shape(logits, (len(content), len(head.labels)), "`logits` gives (B, len(labels))")
    expect(bool(logits.isfinite().all()), "logits are finite and read no padding")


def label_padding(head: LabelHead, content: Frames) -> None:
    """An item of a batch gives what it gives alone."""
    with torch.inference_mode():
        logits = head.logits(content)
        for index in range(len(content)):
            expect_same(logits[index], head.logits(content[index])[0], f"`logits` reads no padding (item {index})")


def frame_shapes(head: FrameHead, content: Frames) -> None:
    """A frame of the teacher's width for each frame."""
    with torch.inference_mode():
        made = head.frames(content)
    expect_shape(made.values, (*content.values.shape[:2], head.channels), "`frames` gives (B, T, channels)")
    expect(bool(made.values[made.mask()[..., 0]].isfinite().all()), "what the teacher would hear is finite")


def frame_padding(head: FrameHead, content: Frames) -> None:
    """An item of a batch gives what it gives alone."""
    with torch.inference_mode():
        made = head.frames(content)
        for index in range(len(content)):
            alone = head.frames(content[index])
            expect_same(made[index].values, alone.values, f"`frames` reads no padding (item {index})")


def frame_loss(head: FrameHead, content: Frames) -> Loss:
    """Against some teacher."""
    generator = torch.Generator().manual_seed(1)
    teacher_frames = torch.randn(*content.values.shape[:2], head.channels, generator=generator)
    return head.loss(content, content.with_values(teacher_frames.where(content.mask(), torch.nan)))


def label_loss(head: LabelHead, content: Frames) -> Loss:
    """Of some labels."""
    return head.loss(content, torch.arange(len(content)) % len(head.labels))


def texts(specimen: Specimen) -> None:
    """A text head writes its alphabet alone, and refuses what it cannot write: no text is learnt as nothing."""
    head, content = specimen.copy(), Frames.of(torch.randn(1, 4, specimen.context["frames"].channels))
    if not isinstance(head, TextHead):
        raise UnsupportedError("it is no text head")
    expect(len(set(head.alphabet)) == len(head.alphabet) > 0, "the alphabet has each character once")
    with torch.inference_mode():
        written = "".join(head.transcribe(content))
    expect(set(written) <= set(head.alphabet), f"`transcribe` writes the alphabet alone, got {written[:40]!r}")
    strange = next(char for char in "\N{SNOWMAN}\N{COMET}" if char not in head.alphabet)
    _expect_refused(head, content, strange, "`loss` refuses a character that the alphabet lacks")
    longest = head.alphabet.strip()[0] * 400
    needed = head.frames_needed(longest)
    expect(needed >= 1, "`frames_needed` is 1 at least")
    if needed > 4:
        _expect_refused(head, content, longest, f"`loss` refuses a text that takes {needed} frames where 4 are")


def relabel(specimen: Specimen) -> None:
    """`relabel` keeps what is known of the labels that stay, in their new places."""
    head, content = specimen.copy(), Frames.of(torch.randn(2, 9, specimen.context["frames"].channels))
    if not isinstance(head, LabelHead):
        raise UnsupportedError("it is no label head")
    old = head.labels
    with torch.inference_mode():
        before = head.logits(content)
    head.relabel(["another", *reversed(old)])
    expect(tuple(head.labels) == ("another", *reversed(old)), f"`relabel` sets the labels, got {head.labels}")
    with torch.inference_mode():
        after = head.logits(content)
    expect_shape(after, (2, 1 + len(old)), "`relabel` makes room for so many labels")
    expect_same(after[:, 1:].flip(1), before, "`relabel` keeps what the head knows of the labels that stay")


def _fitting(head: TextHead, lengths: Sequence[int]) -> list[str]:
    """A text for each item: of its own characters, as long as it may be."""
    letters = head.alphabet.strip()
    found = []
    for number, length in enumerate(lengths):
        candidates = ((letters[number % len(letters) :] + letters)[:count] for count in range(8, 0, -1))
        found.append(next((text for text in candidates if head.frames_needed(text) <= length), letters[0]))
    return found


def _expect_refused(head: TextHead, content: Frames, text: str, promise: str) -> None:
    try:
        head.loss(content, [text])
    except ContractError:
        return
    expect(False, promise)
