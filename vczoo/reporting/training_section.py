"""The training of a run on a page: its figures, its curves, and its recordings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vczoo.conversion.converter import Converter
from vczoo.data.columns import SPLITS
from vczoo.data.corpus import Corpus
from vczoo.io.text import counted
from vczoo.models.selection_metric import best_epoch
from vczoo.reporting.blocks import Block, Figure, Section, Text, table_of
from vczoo.reporting.figures import inline_svg
from vczoo.training.checkpoints.checkpoint import LOG
from vczoo.training.curves import curves_figure

__all__ = ["data_section", "metric_rows", "read_history", "training_section"]


def training_section(converter: Converter) -> Section:
    """The section with the figures of the fine-tune and its curves."""
    metrics, folder = converter.metrics, converter.run.folder
    blocks: list[Block] = []
    if not metrics.get("epochs"):
        return Section("training", "Training", (Text("This run was not fine-tuned, so it has no curves."),))
    blocks.append(Text(_in_words(metrics)))
    if rows := metric_rows(metrics):
        blocks.append(table_of("Figures on recordings that were not trained on", rows))
    for age, figures in dict(metrics.get("extension", {})).items():
        before, after = (figures[when].get("accuracy", float("nan")) for when in ("before", "after"))
        blocks.append(Text(f"Accuracy on {age} speakers: {before:.3f} before, {after:.3f} after."))
    blocks.append(_curves(converter, folder / LOG if folder else None))
    return Section("training", "Training", tuple(blocks))


def metric_rows(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures of a fine-tune as rows of text, one column per split that has some."""
    splits = [split for split in ("validation", "test") if metrics.get(split)]
    names = dict.fromkeys(name for split in splits for name in metrics[split])
    return [{"figure": name, **{split: _number(metrics[split].get(name)) for split in splits}} for name in names]


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The records of a run's metrics.jsonl; none if it is missing or damaged."""
    try:
        history = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
        return [record for record in history if float(record["validation"]["loss"]) and int(record["epoch"]) >= 0]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def data_section(converter: Converter, corpus: Corpus | None, reason: str) -> Section:
    """The section on the recordings: how many of each speaker, in which split.

    Args:
        converter: The run.
        corpus: Its recordings; None if they are gone.
        reason: Why they are gone; empty if they are not.
    """
    minutes: Mapping[str, float] = converter.run.data.get("minutes", {})
    if corpus is None:
        rows = [{"speaker": name, "minutes": f"{value:.1f}"} for name, value in minutes.items()]
        table = (table_of("Minutes of speech of each speaker, as the run recorded them", rows),) if rows else ()
        return Section("data", "Recordings", (Text(reason), *table))
    seconds = corpus.seconds_by_speaker()
    rows = [
        {
            "speaker": speaker,
            "minutes": f"{seconds[speaker] / 60:.1f}",
            **{split: str(sum(u.split == split for u in corpus.of_speaker(speaker))) for split in SPLITS},
        }
        for speaker in corpus.speakers
    ]
    total = f"{counted(len(corpus.utterances), 'recording')} of {counted(len(rows), 'speaker')}"
    text = f"{total}, {sum(seconds.values()) / 60:.1f} minutes in all."
    if corpus.skipped:
        text += f" {counted(len(corpus.skipped), 'file')} could not be used."
    notes = [Text(note) for note in corpus.notes]
    return Section("data", "Recordings", (Text(text), table_of("Recordings of each speaker by split", rows), *notes))


def _curves(converter: Converter, log: Path | None) -> Block:
    training = converter.recipe.training
    try:
        assert log is not None
        history = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        kept = converter.metrics.get("kept_epoch")
        chosen = kept if isinstance(kept, int) else best_epoch(history, training.criterion, training.keep)
        figure = curves_figure(history, chosen)
        losses = [record["validation"]["loss"] for record in history]
    except (AssertionError, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return Text(f"The figures of each epoch ({LOG}) are not in the run, so there are no curves.")
    alternative = (
        f"Training curves over {counted(len(history), 'epoch')}: the validation loss goes from {losses[0]:.3f} to "
        f"{losses[-1]:.3f}, and the weights of epoch {chosen} are kept."
    )
    return Figure(inline_svg(figure, "curves", alternative), "Each epoch's figures. Dashed: the epoch that was kept.")


def _in_words(metrics: Mapping[str, Any]) -> str:
    epochs, best, kept = (metrics.get(name) for name in ("epochs", "best_epoch", "kept_epoch"))
    text = counted(epochs, "epoch") if isinstance(epochs, int) else "Some epochs"
    if isinstance(seconds := metrics.get("seconds"), int | float):
        text += f" in {seconds:.0f} s"
    if isinstance(kept, int):
        text += f"; the weights are from epoch {kept}"
        text += ", the best on validation" if best == kept else f", and epoch {best} was the best on validation"
    if isinstance(count := metrics.get("trainable_parameters"), int):
        text += f". {count:,} parameters were trained"
    return f"{text}."


def _number(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.4g}" if is_number else ""
