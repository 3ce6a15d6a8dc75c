"""Naturalness by Distill-MOS: a second, independent network's estimate of listeners' mean opinion scores."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import cached_property
from io import StringIO
from typing import Any

import torch

from vczoo.io.optional_imports import require
from vczoo.modules.interfaces.metric import Case, Column, Metric

__all__ = ["DistillMos"]


class DistillMos(Metric):
    """Mean opinion score of a recording, from 1 to 5, estimated by Distill-MOS.

    The wheel of distillmos includes its network. It looks at windows of 7.68 s; shorter recordings are padded with
    silence.

    Source:
        Stahl and Gamper 2025, arXiv:2502.05356; a student of a model over XLS-R, so not related to DNSMOS.
    """

    columns = (Column("distill_mos", "Distill-MOS", higher_is_better=True),)

    @cached_property
    def network(self) -> Any:
        """The network, loaded on first use.

        Raises:
            PluginError: distillmos is not installed.
        """
        library = require("distillmos", "Distill-MOS", "eval-all")
        with redirect_stdout(StringIO()):  # it prints the path of its weights
            return library.ConvTransformerSQAModel().eval()

    @torch.inference_mode()
    def measure(self, case: Case) -> Mapping[str, float]:
        """Measure any recording.

        Raises:
            PluginError: distillmos is not installed.
        """
        return {"distill_mos": float(self.network(case.wave.samples.detach().float().cpu()))}
