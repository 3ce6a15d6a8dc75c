"""`Head`, the interface of every head, and the batch that it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.errors import ContractError
from vczoo.io.text import nearest
from vczoo.modules.interfaces.freezing import HoldsFrozen

__all__ = ["Column", "Head", "HeadBatch", "Loss", "Prediction", "check_declaration"]

Column = Literal["number", "text"]


class Loss(NamedTuple):
    """A loss to minimize, and metrics to log. All of them are averages over the batch.

    Attributes:
        value: The loss.
        metrics: The metrics by name.
        predicted: Acoustic frames that a voice head predicted, which an adversarial loss judges; None for none.
    """

    value: Tensor
    metrics: Mapping[str, Tensor]
    predicted: Frames | None = None


class Prediction(NamedTuple):
    """Prediction of a head for one utterance.

    Attributes:
        reference: The correct value.
        predicted: The head's value.
    """

    reference: Any
    predicted: Any


@dataclass(frozen=True)
class HeadBatch:
    """Segments or whole utterances as heads read them. A head names the fields that it needs in `Head.reads`.

    A field that the data or the recipe cannot provide is None or empty; heads that need it are then skipped.

    Attributes:
        content: Content frames of the backbone, (B, T, C); for a head with `reads: acoustic`, mels of the vocoder.
        content_spec: Format of the backbone's frames.
        speakers: Speaker indices, (B,) int64; -1 for speakers outside the training set.
        has_unknown_speakers: Whether any entry of `speakers` is -1. None if nobody has looked, which waits for a GPU.
        pitch: Pitch frames, (B, T', 2), at the frame rate of the vocoder's input or, without a vocoder, of `content`.
        target: Acoustic frames, (B, T', acoustic channels).
        reference: Other segments by the same speakers, (B, T'', C), from which `embedding` is computed: content, or
            mels if the speaker head reads mels. None takes the voices from the segments themselves.
        embedding: Embedding of each item's speaker, (B, E), by the first speaker head.
        texts: Transcript of each item.
        labels: Index of each item's label, (B,) int64.
        teacher_frames: The teacher's frames, (B, T, teacher channels).
        annotations: The manifest columns that the model's heads name in `Head.annotation_columns`: numbers, (B,)
            float32, or one text per item.
    """

    content: Frames
    content_spec: FrameSpec
    speakers: Tensor | None = None
    has_unknown_speakers: bool | None = None
    pitch: Frames | None = None
    target: Frames | None = None
    reference: Frames | None = None
    embedding: Tensor | None = None
    texts: tuple[str, ...] = ()
    labels: Tensor | None = None
    teacher_frames: Frames | None = None
    annotations: Mapping[str, Tensor | tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.content)

    def __getitem__(self, index: int) -> HeadBatch:
        """The batch of one item, without its padding."""

        def item(value: Any) -> Any:
            if isinstance(value, Frames):
                return value[index]
            return value[index : index + 1] if isinstance(value, Tensor | tuple) else value

        values = {one.name: item(getattr(self, one.name)) for one in fields(self)}
        annotations = {name: item(value) for name, value in self.annotations.items()}
        return replace(self, **values | {"content_spec": self.content_spec, "annotations": annotations})

    def has(self, names: Iterable[str]) -> bool:
        """Whether the batch has a value in each of these fields."""
        values = [getattr(self, name) for name in names]
        return all(value is not None and (isinstance(value, Tensor) or bool(value)) for value in values)


class Head(HoldsFrozen, ABC):
    """Part that learns a task from the backbone's frames. A plugin may bring a task of its own.

    A recipe's loss is the sum of its heads' losses, each multiplied by its `weight`. The parameters of a head are saved
    with the run.

    Attributes:
        task: Name of the task. `speaker`, `voice`, `text`, `label` and `frames` are the tasks of `SpeakerHead`,
            `VoiceHead`, `TextHead`, `LabelHead` and `FrameHead`.
        reads: Fields of `HeadBatch` that training needs. The head is skipped in batches that lack one of them.
        annotation_columns: Manifest columns that the head reads, as numbers or as texts. Training then requires a value
            for each recording, and passes them in `HeadBatch.annotations`. May be set per instance, from an option.
    """

    task: ClassVar[str]
    reads: ClassVar[frozenset[str]] = frozenset({"content"})
    annotation_columns: Mapping[str, Column] = {}

    @abstractmethod
    def training_loss(self, batch: HeadBatch) -> Loss | None:
        """Return the training loss, or None if there is nothing to learn from in this batch."""

    @abstractmethod
    def conformance_output(self, batch: HeadBatch) -> Tensor | Frames:
        """Return the head's output, without reading its targets: (B, …) values, or frames of B items.

        The conformance suite compares outputs, for example of a saved and a loaded head.
        """

    def predictions(self, batch: HeadBatch) -> list[Prediction]:
        """Return one prediction per item that has a reference. Validation and evaluation call this; none by default."""
        return []

    def prediction_figures(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Summarize the predictions for all utterances of a split as named figures.

        Args:
            predictions: All results of `predictions`, at least one.
        """
        return {}

    def enroll_voice(self, contents: Sequence[Frames], acoustics: Sequence[Frames]) -> dict[str, Tensor]:
        """Return the tensors that this head stores for a voice. None by default.

        Args:
            contents: What the head reads (see `HeadBatch.content`) of each recording of the voice, (1, T, C) each.
            acoustics: Acoustic frames of the same recordings, (1, T', acoustic channels) each; empty if no head of the
                model reads them.
        """
        return {}

    def conformance_batch(self, batch: HeadBatch) -> HeadBatch:
        """Replace what this head cannot learn from in a batch of noise, for the conformance suite.

        By default the batch stays as it is. A head with a limited range of targets puts valid ones in their place.
        """
        return batch


def check_declaration(head: object, kinds: Mapping[str, type[Head]]) -> None:
    """Check that an object is a head, and the class attributes of it.

    Args:
        head: The head.
        kinds: The class of each of the core's tasks.

    Raises:
        ContractError: It is not a `Head`; `task` is missing, or is a core task of another class; `reads` names a field
            that a batch does not have; or `annotation_columns` has a type that does not exist, or is empty although the
            head reads annotations.
    """
    name, task = type(head).__name__, getattr(head, "task", "")
    if not isinstance(head, Head):
        raise ContractError(
            f"expected a head, got {name}; derive from vczoo.Head, or from a subclass as vczoo.VoiceHead"
        )
    if not isinstance(task, str) or not task:
        raise ContractError(f"{name} has no `task`; set it in the class, as in task = 'valence'")
    if task in kinds and not isinstance(head, kinds[task]):
        raise ContractError(
            f"{name} has the task {task!r}, but is not a {kinds[task].__name__}; derive from vczoo."
            f"{kinds[task].__name__}, or give the task another name"
        )
    names = [one.name for one in fields(HeadBatch)]
    for unknown in sorted(_as_names(head.reads, name) - set(names)):
        raise ContractError(
            f"{name}.reads names {unknown!r}, which a batch does not have{nearest(unknown, names)} "
            f"It has: {', '.join(names)}. A manifest column is declared in `annotation_columns`"
        )
    for column, kind in head.annotation_columns.items():
        if kind not in ("number", "text"):
            raise ContractError(
                f"{name}.annotation_columns: {column} must be 'number' or 'text', got {kind!r}; correct it"
            )
    if "annotations" in head.reads and not head.annotation_columns:
        raise ContractError(
            f"{name} reads annotations, but its `annotation_columns` is empty; name the manifest columns, as in "
            'annotation_columns = {"valence": "number"}'
        )


def _as_names(reads: Collection[str], name: str) -> set[str]:
    if isinstance(reads, str):
        raise ContractError(f"{name}.reads must be a set of names, got {reads!r}; write frozenset({{{reads!r}}})")
    return set(reads)
