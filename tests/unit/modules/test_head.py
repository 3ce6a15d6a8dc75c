"""The interface of heads: what a head declares, and what a batch has."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vczoo
from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.models.model import Model
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.interfaces.head import Head, HeadBatch, Loss, Prediction, check_declaration
from vczoo.modules.interfaces.heads import KINDS
from vczoo.testing import CONTEXT, check_head


class Loudness(Head):
    """A task of its own: a number per utterance, from a column of the manifest."""

    task = "loudness"
    reads = frozenset({"content", "annotations"})
    annotation_columns = {"loudness": "number"}  # noqa: RUF012

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * channels, 1)

    def training_loss(self, batch: HeadBatch) -> Loss:
        return Loss((self.conformance_output(batch) - batch.annotations["loudness"]).square().mean(), {})

    def conformance_output(self, batch: HeadBatch) -> Tensor:
        return self.linear(batch.content.pool())[:, 0]

    def predictions(self, batch: HeadBatch) -> list[Prediction]:
        values = self.conformance_output(batch).tolist()
        return [Prediction(*pair) for pair in zip(batch.annotations["loudness"].tolist(), values, strict=True)]

    def prediction_figures(self, predictions: Any) -> dict[str, float]:
        return {"mae": sum(abs(given - right) for right, given in predictions) / len(predictions)}


def batch(**fields: Any) -> HeadBatch:
    return HeadBatch(Frames(torch.randn(2, 9, 24), torch.tensor([9, 5])), FrameSpec(16000, 320, 24), **fields)


def test_a_task_of_its_own_conforms() -> None:
    check_head(Loudness(), frames=CONTEXT["frames"])


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ({"reads": frozenset({"content", "valence"})}, r"Wrong\.reads names 'valence', which a batch does not have"),
        ({"reads": frozenset({"speaker"})}, "which a batch does not have; did you mean 'speakers'"),
        ({"reads": "content"}, "must be a set of names, got 'content'"),
        ({"task": ""}, "Wrong has no `task`"),
        ({"task": "text"}, "has the task 'text', but is not a TextHead; derive from vczoo.TextHead"),
        ({"annotation_columns": {}}, "reads annotations, but its `annotation_columns` is empty"),
        ({"annotation_columns": {"a": "int"}}, "a must be 'number' or 'text', got 'int'"),
    ],
)
def test_a_wrong_declaration_is_refused(attributes: dict[str, Any], fault: str) -> None:
    head = type("Wrong", (Loudness,), attributes)()
    with pytest.raises(ContractError, match=fault):
        check_declaration(head, KINDS)
    with pytest.raises(ContractError, match=fault):
        check_head(head, frames=CONTEXT["frames"])


def test_what_is_no_head_is_refused() -> None:
    with pytest.raises(ContractError, match=r"expected a head, got Linear; derive from vczoo\.Head"):
        check_declaration(nn.Linear(2, 2), KINDS)


class ReadsPadding(Loudness):
    def conformance_output(self, batch: HeadBatch) -> Tensor:
        return self.linear(Frames.of(batch.content.values.nan_to_num()).pool())[:, 0]


class NoFigures(Loudness):
    def prediction_figures(self, predictions: Any) -> dict[str, float]:
        return {}


class PerBatch(Loudness):
    def conformance_output(self, batch: HeadBatch) -> Tensor:
        return super().conformance_output(batch).mean()[None]


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (ReadsPadding, r"must not read padding \(item 1\)"),
        (NoFigures, "must return at least one figure"),
        (PerBatch, "must return one output per item, got 1 for 3"),
    ],
)
def test_a_task_of_its_own_that_does_not_conform(head: type[Loudness], fault: str) -> None:
    with pytest.raises(ContractError, match=fault):
        check_head(head(), frames=CONTEXT["frames"])


def test_one_item_of_a_batch_has_no_padding() -> None:
    whole = batch(speakers=torch.tensor([3, 4]), texts=("a", "b"), annotations={"x": torch.tensor([1.0, 2.0])})
    one = whole[1]
    assert one.content.values.shape == (1, 5, 24)
    assert one.speakers is not None
    assert one.speakers.tolist() == [4]
    assert one.texts == ("b",)
    assert one.annotations["x"].tolist() == [2.0]  # type: ignore[union-attr]
    assert one.content_spec == whole.content_spec


def test_a_field_that_is_empty_is_lacking() -> None:
    assert batch(speakers=torch.tensor([0, 0])).has({"content", "speakers"})
    assert not batch().has({"content", "speakers"})
    assert not batch().has({"texts"})
    assert not batch().has({"annotations"})


def test_a_model_trains_and_scores_a_task_that_it_does_not_know() -> None:
    torch.manual_seed(0)
    backbone = MelConv(width=12, blocks=1)
    head = Loudness(backbone.spec.channels)
    model = Model(backbone, {"loud": head}, {"loud": 2.0}, None)
    content = Frames.of(torch.randn(2, 9, backbone.spec.channels))
    given = HeadBatch(content, backbone.spec, annotations={"loudness": torch.tensor([0.5, 1.5])})
    loss = model.loss(given)
    assert loss.value.item() == pytest.approx(2 * float(loss.metrics["loud.loss"]))
    assert set(model.figures(model.predictions(given))) == {"loud.mae"}
    assert model.tasks == {"loud": "loudness"}
    assert model.heads_for("loudness") == {"loud": head}
    assert not model.keeps_voices
    lacking = HeadBatch(content, backbone.spec)
    assert model.loss(lacking).metrics == {}
    assert model.predictions(lacking) == []


def test_a_run_without_predictions_cannot_be_scored(tmp_path: Any) -> None:
    with pytest.raises(vczoo.VczooError, match=r"no head of demo makes predictions .* speaker \(speaker\), voice"):
        vczoo.evaluate_heads(vczoo.load("demo"), tmp_path)
