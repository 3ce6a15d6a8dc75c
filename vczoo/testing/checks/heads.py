"""Conformance checks of heads. Each check takes a `Specimen` and raises `ContractError` if it fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.modules.interfaces.heads import (
    HeadBatch,
    Loss,
    Source,
    SpeakerHead,
)
from vczoo.testing.checks.expectations import expect, expect_gradients, expect_same, expect_shape, padded_with_nan
from vczoo.testing.checks.specimen import Specimen, UnsupportedError, annotations_of, random_frames
from vczoo.testing.checks.task_heads import (
    frame_padding,
    frame_shapes,
    label_padding,
    label_shapes,
    relabel,
    text_padding,
    text_shapes,
    texts,
)

__all__ = ["HEAD_CHECKS"]

COUNTS = (30, 7, 1)  # frames of each item of a batch


def shapes(specimen: Specimen) -> None:
    """A head's output has the right shape and finite values.

    A speaker head returns embeddings of length 1 and logits; a voice head acoustic frames with the lengths of the
    pitch; a text head a log-probability per character; a label head a logit per label; a frame head frames with the
    teacher's number of channels. A head for another task returns one output per item.
    """
    if check := _SHAPES.get(specimen.part.task):
        check(specimen)
        return
    head, batch = specimen.copy(), _batch(specimen)
    with torch.inference_mode():
        outcome = head.conformance_output(batch)
    size = len(outcome) if isinstance(outcome, Frames) else outcome.shape[0]
    expect(size == len(batch), f"`conformance_output` must return one output per item, got {size} for {len(batch)}")
    expect(bool(_valid(outcome).isfinite().all()), "the output must be finite and must not read padding")


def padding(specimen: Specimen) -> None:
    """An item gives the same output in a batch as by itself, so that padding is not read."""
    if check := _PADDING.get(specimen.part.task):
        check(specimen)
        return
    head, batch = specimen.copy(), _batch(specimen)
    with torch.inference_mode():
        outcome = head.conformance_output(batch)
        for index in range(len(batch)):
            single, whole = head.conformance_output(batch[index]), outcome[index]
            whole = whole if isinstance(whole, Frames) else whole[None]
            expect_same(_valid(whole), _valid(single), f"`conformance_output` must not read padding (item {index})")


def gradients(specimen: Specimen) -> None:
    """The loss is one finite number, its metrics are detached, and a gradient reaches every parameter."""
    head = specimen.copy()
    batch = _batch(specimen)
    loss = head.train().training_loss(batch) if batch.has(head.reads) else None
    expect(loss is not None or not any(True for _ in head.parameters()), "a head with parameters must return a loss")
    if loss is not None:
        _check_loss(head, loss)


def predicts(specimen: Specimen) -> None:
    """Predictions have figures, each a finite number. Skipped for a head that makes no predictions."""
    head, batch = specimen.copy(), _batch(specimen)
    with torch.inference_mode():
        predictions = head.predictions(batch)
    if not predictions:
        raise UnsupportedError("only for heads that make predictions")
    expect(
        len(predictions) <= len(batch),
        f"`predictions` must return at most one per item, got {len(predictions)} for {len(batch)}",
    )
    figures = head.prediction_figures(predictions)
    expect(bool(figures), "`prediction_figures` must return at least one figure, since the head makes predictions")
    wrong = [name for name, value in figures.items() if not isinstance(value, int | float) or not math.isfinite(value)]
    expect(not wrong, f"`prediction_figures` must return finite numbers; wrong: {', '.join(wrong[:5])}")


def grow(specimen: Specimen) -> None:
    """`grow` keeps the logits of the old speakers; `restart` keeps the embedding."""
    if not isinstance(specimen.part, SpeakerHead):
        raise UnsupportedError("only for speaker heads")
    head, content = specimen.copy(), _content(specimen)
    count = head.num_speakers
    with torch.inference_mode():
        embedding, logits = head.embed(content), head.logits(content)
    head.grow(count + 2)
    with torch.inference_mode():
        expect_shape(head.logits(content), (len(content), count + 2), "`grow` must add speakers")
        expect_same(head.logits(content)[:, :count], logits, "`grow` must keep the logits of the old speakers")
    head.restart(count + 1)
    with torch.inference_mode():
        expect_shape(head.logits(content), (len(content), count + 1), "`restart` must set the number of speakers")
        expect_same(head.embed(content), embedding, "`restart` must not change the embedding")


def _speaker_shapes(specimen: Specimen) -> None:
    head, content = specimen.copy(), _content(specimen)
    count = len(content)
    with torch.inference_mode():
        embedding, logits = head.embed(content), head.logits(content)
    expect_shape(embedding, (count, head.embedding_width), "`embed` must return (B, embedding_width)")
    expect_shape(logits, (count, head.num_speakers), "`logits` must return (B, num_speakers)")
    expect_same(embedding.norm(dim=1), torch.ones(count), "embeddings must have length 1")


def _speaker_padding(specimen: Specimen) -> None:
    head, content = specimen.copy(), _content(specimen)
    with torch.inference_mode():
        embedding, logits = head.embed(content), head.logits(content)
        for index in range(len(content)):
            expect_same(
                embedding[index], head.embed(content[index])[0], f"`embed` must not read padding (item {index})"
            )
            expect_same(logits[index], head.logits(content[index])[0], f"`logits` must not read padding (item {index})")


def _voice_shapes(specimen: Specimen) -> None:
    head = specimen.copy()
    source, embedding, target = _padded_example(specimen)
    lengths, channels = source.pitch.lengths.tolist(), specimen.context["acoustic"].channels
    with torch.inference_mode():
        voice = head.enroll(source.content, target)
        expect(all(bool(value.isfinite().all()) for value in voice.values()), "`enroll` must not read padding")
        converted = head.convert(source, {**voice, "embedding": embedding[0]})
    actual = converted.lengths.tolist()
    expect(actual == lengths, f"`convert` must return frames with the lengths of the pitch, {lengths}, got {actual}")
    expect(converted.channels == channels, f"`convert` must return {channels} channels, got {converted.channels}")


def _voice_padding(specimen: Specimen) -> None:
    head, frames = specimen.copy(), specimen.context["frames"]
    source, embedding, target = _padded_example(specimen)
    with torch.inference_mode():
        voice = {**head.enroll(source.content, target), "embedding": embedding[0]}
        converted = head.convert(source, voice)
        for index in range(len(COUNTS)):
            single = head.convert(Source(source.content[index], frames, source.pitch[index]), voice)
            expect_same(converted[index].values, single.values, f"`convert` must not read padding (item {index})")


def _content(specimen: Specimen) -> Frames:
    channels = specimen.context["frames"].channels
    return padded_with_nan(torch.cat([random_frames(channels, seed, count=COUNTS[0])[:1] for seed in range(3)]), COUNTS)


def _padded_example(specimen: Specimen) -> tuple[Source, Tensor, Frames]:
    frames, acoustic = specimen.context["frames"], specimen.context["acoustic"]
    content = _content(specimen)
    lengths = tuple(max(1, round(count * frames.hop_length / acoustic.hop_length)) for count in COUNTS)
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(3, max(lengths), acoustic.channels, generator=generator)
    pitch = torch.randn(3, max(lengths), 2, generator=generator)
    embedding = torch.randn(3, int(specimen.context["embedding_width"]), generator=generator)
    source = Source(content, frames, padded_with_nan(pitch, lengths))
    return source, nn.functional.normalize(embedding, dim=1), padded_with_nan(target, lengths)


def _check_loss(head: nn.Module, loss: Loss) -> None:
    value, metrics, _ = loss
    expect_shape(value, (), "a loss must be one number")
    expect(bool(value.isfinite()), f"a loss must be finite and must not read padding, got {value.item()}")
    expect(not any(metric.requires_grad for metric in metrics.values()), "the metrics of a loss must be detached")
    expect_gradients(head, value)


def _batch(specimen: Specimen) -> HeadBatch:
    """A padded batch with every field that a head may read, as the head changes it."""
    content = _content(specimen)
    if specimen.context["acoustic"] is None:
        batch = HeadBatch(content, specimen.context["frames"])
    else:
        source, embedding, target = _padded_example(specimen)
        batch = HeadBatch(content, source.content_spec, pitch=source.pitch, target=target, embedding=embedding)
    count = len(content)
    numbers = torch.arange(count)
    batch = replace(
        batch,
        speakers=numbers,
        has_unknown_speakers=False,
        texts=tuple(f"text {index}" for index in range(count)),
        labels=numbers,
        teacher_frames=content,
        annotations=annotations_of(specimen.part, count),
    )
    changed: HeadBatch = specimen.part.conformance_batch(batch)
    return changed


def _valid(output: Tensor | Frames) -> Tensor:
    """The values of an output without padding."""
    return output.values[output.mask()[..., 0]] if isinstance(output, Frames) else output


_SHAPES: dict[str, Callable[[Specimen], None]] = {
    "speaker": _speaker_shapes,
    "voice": _voice_shapes,
    "text": lambda specimen: text_shapes(specimen.copy(), _content(specimen)),
    "label": lambda specimen: label_shapes(specimen.copy(), _content(specimen)),
    "frames": lambda specimen: frame_shapes(specimen.copy(), _content(specimen)),
}
_PADDING: dict[str, Callable[[Specimen], None]] = {
    "speaker": _speaker_padding,
    "voice": _voice_padding,
    "text": lambda specimen: text_padding(specimen.copy(), _content(specimen)),
    "label": lambda specimen: label_padding(specimen.copy(), _content(specimen)),
    "frames": lambda specimen: frame_padding(specimen.copy(), _content(specimen)),
}

HEAD_CHECKS = (shapes, padding, gradients, predicts, grow, texts, relabel)
