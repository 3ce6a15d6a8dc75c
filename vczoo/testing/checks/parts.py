"""Conformance checks of a single part that a test has built itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch

from vczoo.audio.pitch import PitchTracker
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError
from vczoo.modules.interfaces.backbone import Backbone, Freezing
from vczoo.modules.interfaces.head import check_declaration
from vczoo.modules.interfaces.heads import KINDS, Head, VoiceHead
from vczoo.modules.interfaces.metric import Metric
from vczoo.modules.interfaces.vocoder import Vocoder, Watermark
from vczoo.testing.checks.backbones import BACKBONE_CHECKS
from vczoo.testing.checks.expectations import expect_kind
from vczoo.testing.checks.freezing import FREEZING_CHECKS
from vczoo.testing.checks.heads import HEAD_CHECKS
from vczoo.testing.checks.metrics import METRIC_CHECKS
from vczoo.testing.checks.pitch import PITCH_CHECKS
from vczoo.testing.checks.specimen import CONTEXT, Specimen, UnsupportedError
from vczoo.testing.checks.suite import CLASSES
from vczoo.testing.checks.vocoders import VOCODER_CHECKS
from vczoo.testing.checks.watermarks import WATERMARK_CHECKS

__all__ = [
    "check_backbone",
    "check_freezing",
    "check_head",
    "check_metric",
    "check_pitch_tracker",
    "check_vocoder",
    "check_watermark",
]


def check_backbone(backbone: Backbone) -> None:
    """Check a backbone: shapes, lengths, batches, stages, freezing and gradients.

    Args:
        backbone: The backbone to check. It is not changed.

    Raises:
        ContractError: A check fails; the message says which.
    """
    _check_part(Specimen("backbone", backbone), BACKBONE_CHECKS)


def check_freezing(freezing: Freezing) -> None:
    """Check a freezing strategy: its multipliers, that frozen stages do not change, and `finish`.

    Args:
        freezing: The strategy to check. It is not changed.

    Raises:
        ContractError: A check fails; the message says which.
    """
    _check_part(Specimen("freezing", freezing), FREEZING_CHECKS)


def check_head(
    head: Head,
    *,
    frames: FrameSpec,
    acoustic: MelSpec | FrameSpec | None = None,
    embedding_width: int = 16,
) -> None:
    """Check a head: shapes, padding, the loss and its gradients, growth, texts and labels.

    Args:
        head: The head to check. It is not changed.
        frames: Spec of the content frames that the head was built for.
        acoustic: Spec of the acoustic frames that a voice head was built for; other heads need none.
        embedding_width: Width of the speaker embeddings that a voice head was built for.

    Raises:
        ContractError: A check fails, or `acoustic` is missing; the message says which.
    """
    if isinstance(head, VoiceHead) and acoustic is None:
        raise ContractError("to check a voice head, pass `acoustic`, the acoustic spec that it was built for")
    context = CONTEXT | {"frames": frames, "acoustic": acoustic, "embedding_width": embedding_width}
    _check_part(Specimen("head", head, context), HEAD_CHECKS)


def check_vocoder(vocoder: Vocoder) -> None:
    """Check a vocoder: sample rate, lengths, batches, `follow` and gradients.

    Args:
        vocoder: The vocoder to check. It is not changed.

    Raises:
        ContractError: A check fails; the message says which.
    """
    _check_part(Specimen("vocoder", vocoder), VOCODER_CHECKS)


def check_pitch_tracker(tracker: PitchTracker) -> None:
    """Check a pitch tracker: its frames and range, silence, and known tones.

    Args:
        tracker: The tracker to check.

    Raises:
        ContractError: A check fails; the message says which.
    """
    _check_part(Specimen("pitch", tracker), PITCH_CHECKS)


def check_metric(metric: Metric) -> None:
    """Check an evaluation metric: its columns, and that its figures are finite or left out.

    Args:
        metric: The metric to check.

    Raises:
        ContractError: A check fails; the message says which.
    """
    _check_part(Specimen("metric", metric), METRIC_CHECKS)


def check_watermark(watermark: Watermark, *, trained: bool = True) -> None:
    """Check that a watermark keeps the shape and rate of a recording, is quiet, and is detected.

    Args:
        watermark: The watermark to check. It is not changed.
        trained: Whether its weights are trained. With random weights, loudness and detection are not checked.

    Raises:
        ContractError: A check fails; the message says which.
    """
    _check_part(Specimen("watermark", watermark, trained=trained), WATERMARK_CHECKS)


def _check_part(specimen: Specimen, checks: tuple[Callable[[Specimen], None], ...]) -> None:
    expect_kind(specimen.part, CLASSES[specimen.kind], "the part")
    if specimen.kind == "head":
        check_declaration(specimen.part, KINDS)
    for check in checks:
        with torch.random.fork_rng(devices=[]), suppress(UnsupportedError):
            torch.manual_seed(0)
            check(specimen)
