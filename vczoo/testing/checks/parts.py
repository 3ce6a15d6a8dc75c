"""One part, built by hand, under the checks of its kind: the part in; nothing out, or a `ContractError`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch

from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.errors import ContractError
from vczoo.modules.interfaces.backbone import Backbone, Freezing
from vczoo.modules.interfaces.heads import Head, VoiceHead
from vczoo.modules.interfaces.vocoder import Vocoder, Watermark
from vczoo.testing.checks.backbones import BACKBONE_CHECKS
from vczoo.testing.checks.expectations import expect_kind
from vczoo.testing.checks.freezing import FREEZING_CHECKS
from vczoo.testing.checks.heads import HEAD_CHECKS
from vczoo.testing.checks.specimen import CONTEXT, Specimen, UnsupportedError
from vczoo.testing.checks.suite import CLASSES
from vczoo.testing.checks.vocoders import VOCODER_CHECKS
from vczoo.testing.checks.watermarks import WATERMARK_CHECKS

__all__ = ["check_backbone", "check_freezing", "check_head", "check_vocoder", "check_watermark"]


def check_backbone(backbone: Backbone) -> None:
    """Check what backbones promise: shapes, lengths, batches, stages, freezing, gradients.

    Raises:
        ContractError: which promise is broken.
    """
    _check_part(Specimen("backbone", backbone), BACKBONE_CHECKS)


def check_freezing(freezing: Freezing) -> None:
    """Check a freezing strategy: its multipliers, that what is frozen keeps its bits, and `finish`.

    Raises:
        ContractError: which promise is broken.
    """
    _check_part(Specimen("freezing", freezing), FREEZING_CHECKS)


def check_head(
    head: Head,
    *,
    frames: FrameSpec,
    acoustic: MelSpec | FrameSpec | None = None,
    embedding_width: int = 16,
) -> None:
    """Check a head that was built for these specs: shapes, padding, the loss and its gradients, growth, texts, labels.

    Raises:
        ContractError: which promise is broken.
    """
    if isinstance(head, VoiceHead) and acoustic is None:
        raise ContractError("a voice head is checked with the acoustic spec that it was built for")
    context = CONTEXT | {"frames": frames, "acoustic": acoustic, "embedding_width": embedding_width}
    _check_part(Specimen("head", head, context), HEAD_CHECKS)


def check_vocoder(vocoder: Vocoder) -> None:
    """Check a vocoder: rate, length, batch against single, `follow`, gradients.

    Raises:
        ContractError: which promise is broken.
    """
    _check_part(Specimen("vocoder", vocoder), VOCODER_CHECKS)


def check_watermark(watermark: Watermark, *, trained: bool = True) -> None:
    """Check that a recording keeps shape and rate, that what is embedded is quiet, and that it is detected.

    Args:
        trained: whether its weights are; random ones keep their shape, and neither hide nor find anything.

    Raises:
        ContractError: which promise is broken.
    """
    _check_part(Specimen("watermark", watermark, trained=trained), WATERMARK_CHECKS)


def _check_part(specimen: Specimen, checks: tuple[Callable[[Specimen], None], ...]) -> None:
    expect_kind(specimen.part, CLASSES[specimen.kind], "the part")
    for check in checks:
        with torch.random.fork_rng(devices=[]), suppress(UnsupportedError):
            torch.manual_seed(0)
            check(specimen)
