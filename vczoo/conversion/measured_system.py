"""Description of an evaluated converter for a results file: its weights, and the machine that it ran on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vczoo.conversion.converter import Converter
from vczoo.io.tensors import fingerprint

__all__ = ["describe_measurement", "name_of_weights"]


def describe_measurement(converter: Converter, setup: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a results file that all figures of an evaluation share.

    Args:
        converter: The converter that was evaluated.
        setup: The setup in the evaluation's report, as `vczoo.conversion.evaluate.setup_of` makes it.
    """
    versions = {"python": setup["python"], **setup["versions"]}
    return {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "recipe": converter.recipe.name,
        "weights": name_of_weights(converter),
        "weights_sha256": fingerprint(converter.model.tensors()),
        "trials": setup["trials"],
        "trials_sha256": setup["trials_sha256"],
        "trial_count": setup["trial_count"],
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {converter.device}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "threads": setup["threads"],
        "seed": setup["seed"],
        "speaker_model": setup["speaker"],
        "asr": ", ".join(setup["asr"]),
        "words_against": setup["words_against"],
    }


def name_of_weights(converter: Converter) -> str:
    """Return the name of a converter's weights: `owner/name@commit`, a run's folder, or what the recipe starts from.

    A folder is named without its path.
    """
    run = converter.run
    if "@" in run.revision:
        return run.revision
    if run.folder is not None:
        return run.folder.name
    if run.lineage:
        return f"{run.lineage[0].name} {run.lineage[0].revision}".rstrip()
    return str(run.recipe.backbone.options.get("weights", "random"))
