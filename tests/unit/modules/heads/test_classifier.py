"""The label head: its loss, that it learns, and that labels which stay keep what is known of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.modules.heads.classifier import Classifier

SPEC = FrameSpec(16000, 320, 6)


def made(*labels: str) -> Classifier:
    torch.manual_seed(0)
    return Classifier(frames=SPEC, labels=labels, dropout=0.0)


def test_loss_and_accuracy_are_those_of_the_logits() -> None:
    head, frames, labels = made("angry", "calm"), Frames.of(torch.randn(3, 5, 6)), torch.tensor([0, 1, 1])
    logits, loss = head.logits(frames), head.loss(frames, labels)
    assert logits.shape == (3, 2)
    assert torch.equal(loss.value, F.cross_entropy(logits, labels))
    assert float(loss.metrics["accuracy"]) == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_labels_that_stay_keep_their_rows() -> None:
    head, frames = made("angry", "calm", "sad"), Frames.of(torch.randn(3, 5, 6))
    before = head.logits(frames)
    head.relabel(["bored", "sad", "angry"])
    after = head.logits(frames)
    assert head.labels == ("bored", "sad", "angry")
    assert torch.equal(after[:, 1:], before[:, [2, 0]])
    head.relabel(["bored", "sad", "angry"])
    assert torch.equal(head.logits(frames), after)


def test_labels_are_there_and_different() -> None:
    for labels in ((), ("calm", "calm")):
        with pytest.raises(ContractError, match="one or more names without repetition"):
            made(*labels)
    with pytest.raises(ContractError, match="without repetition"):
        made("calm").relabel(["sad", "sad"])
    with pytest.raises(ContractError, match="dropout must be in"):
        Classifier(frames=SPEC, labels=("a",), dropout=1.0)


def test_dropout_is_of_training_alone() -> None:
    head, frames = Classifier(frames=SPEC, labels=("a", "b"), dropout=0.5), Frames.of(torch.randn(3, 5, 6))
    assert torch.equal(head.eval().logits(frames), head.logits(frames))
    assert not torch.equal(head.train().logits(frames), head.logits(frames))
