"""Conformance checks of text, label and frame heads, which `vczoo.testing.checks.heads` calls."""

from __future__ import annotations

import torch

from vczoo.audio.frames import Frames
from vczoo.errors import ContractError
from vczoo.modules.interfaces.heads import FrameHead, LabelHead, TextHead
from vczoo.testing.checks.expectations import expect, expect_same, expect_shape
from vczoo.testing.checks.specimen import Specimen, UnsupportedError

__all__ = [
    "frame_padding",
    "frame_shapes",
    "label_padding",
    "label_shapes",
    "relabel",
    "text_padding",
    "text_shapes",
    "texts",
]

SUM_TOLERANCE = 2e-3  # largest difference from 1 of a sum of probabilities, which may come from bfloat16


def text_shapes(head: TextHead, content: Frames) -> None:
    """`log_probabilities` returns one per character and time, and `transcribe` one text per item."""
    with torch.inference_mode():
        frames, texts = head.log_probabilities(content), head.transcribe(content)
    width = 1 + len(head.alphabet)
    requirement = "`log_probabilities` must return (B, T', 1 + len(alphabet))"
    expect_shape(frames.values, (len(content), frames.values.shape[1], width), requirement)
    valid = frames.values[frames.mask()[..., 0]]
    expect(bool(valid.isfinite().all()), "log-probabilities must be finite and must not read padding")
    total = valid.exp().sum(dim=1)
    expect(bool(((total - 1).abs() < SUM_TOLERANCE).all()), "the probabilities at each time must add up to 1")
    expect(
        len(texts) == len(content), f"`transcribe` must return one text per item, got {len(texts)} for {len(content)}"
    )


def text_padding(head: TextHead, content: Frames) -> None:
    """An item gives the same output in a batch as by itself."""
    with torch.inference_mode():
        frames, texts = head.log_probabilities(content), head.transcribe(content)
        for index in range(len(content)):
            single, text = head.log_probabilities(content[index]), head.transcribe(content[index])[0]
            requirement = f"`log_probabilities` must not read padding (item {index})"
            expect(bool(frames.lengths[index] == single.lengths[0]), requirement)
            expect_same(frames[index].values, single.values, requirement)
            expect(texts[index] == text, f"`transcribe` must not read padding (item {index})")


def label_shapes(head: LabelHead, content: Frames) -> None:
    """`logits` returns one per label."""
    with torch.inference_mode():
        logits = head.logits(content)
    expect_shape(logits, (len(content), len(head.labels)), "`logits` must return (B, len(labels))")
    expect(bool(logits.isfinite().all()), "logits must be finite and must not read padding")


def label_padding(head: LabelHead, content: Frames) -> None:
    """An item gives the same output in a batch as by itself."""
    with torch.inference_mode():
        logits = head.logits(content)
        for index in range(len(content)):
            expect_same(logits[index], head.logits(content[index])[0], f"`logits` must not read padding (item {index})")


def frame_shapes(head: FrameHead, content: Frames) -> None:
    """`frames` returns a frame with the teacher's channels per content frame."""
    with torch.inference_mode():
        predicted = head.frames(content)
    expect_shape(predicted.values, (*content.values.shape[:2], head.channels), "`frames` must return (B, T, channels)")
    expect(bool(predicted.values[predicted.mask()[..., 0]].isfinite().all()), "predicted frames must be finite")


def frame_padding(head: FrameHead, content: Frames) -> None:
    """An item gives the same output in a batch as by itself."""
    with torch.inference_mode():
        predicted = head.frames(content)
        for index in range(len(content)):
            single = head.frames(content[index])
            expect_same(predicted[index].values, single.values, f"`frames` must not read padding (item {index})")


def texts(specimen: Specimen) -> None:
    """A text head writes only its alphabet, and rejects texts that it cannot write.

    It must not silently train on an empty text instead.
    """
    head, content = specimen.copy(), Frames.of(torch.randn(1, 4, specimen.context["frames"].channels))
    if not isinstance(head, TextHead):
        raise UnsupportedError("only for text heads")
    expect(
        len(set(head.alphabet)) == len(head.alphabet) > 0,
        "the alphabet must have at least one character, each only once",
    )
    with torch.inference_mode():
        written = "".join(head.transcribe(content))
    expect(set(written) <= set(head.alphabet), f"`transcribe` must write only the alphabet, got {written[:40]!r}")
    foreign = next(char for char in "\N{SNOWMAN}\N{COMET}" if char not in head.alphabet)
    _expect_rejected(head, content, foreign, "`loss` must reject a character that is not in the alphabet")
    longest = head.alphabet.strip()[0] * 400
    needed = head.frames_needed(longest)
    expect(needed >= 1, "`frames_needed` must be at least 1")
    if needed > 4:
        _expect_rejected(head, content, longest, f"`loss` must reject a text that needs {needed} frames if there are 4")


def relabel(specimen: Specimen) -> None:
    """`relabel` keeps the logits of the labels that stay, in their new positions."""
    head, content = specimen.copy(), Frames.of(torch.randn(2, 9, specimen.context["frames"].channels))
    if not isinstance(head, LabelHead):
        raise UnsupportedError("only for label heads")
    old = head.labels
    with torch.inference_mode():
        before = head.logits(content)
    head.relabel(["another", *reversed(old)])
    expect(tuple(head.labels) == ("another", *reversed(old)), f"`relabel` must set the labels, got {head.labels}")
    with torch.inference_mode():
        after = head.logits(content)
    expect_shape(after, (2, 1 + len(old)), "`logits` must have one per label after `relabel`")
    expect_same(after[:, 1:].flip(1), before, "`relabel` must keep the logits of the labels that stay")


def _expect_rejected(head: TextHead, content: Frames, text: str, requirement: str) -> None:
    try:
        head.loss(content, [text])
    except ContractError:
        return
    expect(False, requirement)
