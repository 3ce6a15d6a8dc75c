"""Check of the figures of a model card: the metrics of a fine-tune and of an evaluation, which may be edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vczoo.errors import HubError, shortened
from vczoo.io.text import harmless, truncated_list

__all__ = ["check_figures"]

Number = int | float | None


class _Figures(BaseModel):
    model_config = ConfigDict(strict=True)


class _Metrics(_Figures):
    speakers: int | None = None
    epochs: int = 0
    best_epoch: int | None = None
    kept_epoch: int | None = None
    seconds: Number = None
    validation: dict[str, Any] | None = None
    test: dict[str, Any] | None = None


class _Figure(_Figures):
    value: Number = None
    low: Number = None
    high: Number = None
    count: int = 0


class _System(_Figures):
    system: str = "?"
    role: str = "system"
    figures: dict[str, _Figure] = {}
    notes: list[str] = []


class _Setup(_Figures):
    trials: str = ""
    trial_count: int | None = None


class _Evaluation(_Figures):
    setup: _Setup = _Setup()
    systems: list[_System] = []
    notes: list[str] = []


def check_figures(metrics: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> None:
    """Refuse figures of types that a card cannot show.

    Args:
        metrics: Metrics of the fine-tune, as in metrics.json.
        evaluation: Results of `vczoo evaluate`; None if there are none.

    Raises:
        HubError: A value has another type than expected. The message names each key.
    """
    faults = []
    for schema, values, file in ((_Metrics, metrics, "metrics.json"), (_Evaluation, evaluation or {}, "evaluation")):
        try:
            schema.model_validate(values if isinstance(values, dict) else dict(values))
        except ValidationError as error:
            for fault in error.errors():
                key = ".".join(map(str, fault["loc"]))
                got = shortened(repr(fault["input"]), 60)
                faults.append(harmless(f"{file}: {shortened(key, 100)}: {fault['msg']}, got {got}"))
    if faults:
        raise HubError(
            "\n  ".join(
                [
                    "the figures of the run cannot be shown on a card; correct or delete them, or evaluate again:",
                    *truncated_list(list(dict.fromkeys(faults))),
                ]
            )
        )
