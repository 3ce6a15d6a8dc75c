"""Evaluation of a run's heads on recordings with references: transcripts, labels, or a plugin's own annotations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import torch

from vczoo.audio.waveform import LONGEST_SECONDS
from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load
from vczoo.data.columns import Split
from vczoo.data.corpus_reader import read_corpus
from vczoo.errors import CorpusError, VczooError
from vczoo.modules.interfaces.head import Head
from vczoo.training.annotation_checks import check_annotations
from vczoo.training.features.segments import SegmentBatches
from vczoo.training.setup import features_of
from vczoo.training.step import evaluate

__all__ = ["evaluate_heads"]

Location = str | os.PathLike[str]


def evaluate_heads(
    run: Converter | Location,
    data: Location | Sequence[Location],
    *,
    split: Split = "test",
    device: torch.device | str | None = None,
) -> dict[str, float]:
    """Score the predictions of a run's heads on one split of a corpus.

    Args:
        run: Folder of a run, or a loaded converter.
        data: A folder or manifest with the references that the heads need, as for `finetune`.
        split: The split to score: train, validation or test.
        device: Torch device to compute on. By default a GPU, if there is one; a loaded converter keeps its own.

    Returns:
        The figures of the fine-tune's validation: `loss`, `<head>.loss` and, for heads that predict, their figures,
        such as `<head>.wer`, `<head>.recall` or a plugin's own.

    Raises:
        VczooError: The run was not trained, or no head of it makes predictions.
        CorpusError: The recordings cannot be read, the split is empty, or references are missing or wrong.
    """
    converter = run if isinstance(run, Converter) else load(run, device=device)
    model, recipe = converter.model, converter.recipe
    if not any(type(head).predictions is not Head.predictions for head in model.heads_for().values()):
        heads = ", ".join(f"{name} ({task})" for name, task in model.tasks.items())
        raise VczooError(
            f"no head of {recipe.name} makes predictions that could be scored: it has {heads}. Evaluate a run with "
            "one that does, such as a text or label head; a plugin's head implements `predictions` and "
            "`prediction_figures`"
        )
    if not converter.metrics:
        raise VczooError(f"{recipe.name} is not trained, so there is nothing to score; train it with `vczoo train`")
    corpus = read_corpus(data).reading(model.annotation_columns)
    corpus = replace(corpus, utterances=corpus.split(split))
    if not corpus.utterances:
        raise CorpusError(f"no recording is in the split {split}; choose another split, or mark some in a manifest")
    check_annotations(model, corpus, recipe.training.crop_seconds)
    parts = [part for utterance in corpus.utterances for part in utterance.parts(LONGEST_SECONDS)]
    features = features_of(recipe, model, False)
    features.at(0)
    return evaluate(model, SegmentBatches(features, parts, converter.speakers, recipe.training.crop_seconds))
