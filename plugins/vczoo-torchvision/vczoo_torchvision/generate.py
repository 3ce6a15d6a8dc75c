"""Write `weights.json`: the weights that the installed torchvision registers for the models of this plugin.

python -m vczoo_torchvision.generate
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torchvision.models import get_model_weights

from vczoo_torchvision import MODELS

__all__ = ["main", "table"]

BYTES_PER_MEBIBYTE = 1024 * 1024  # the unit of torchvision's `_file_size`, which has three decimals


def table() -> dict[str, list[dict[str, Any]]]:
    """Each model's weights, torchvision's default first."""
    weights_by_model: dict[str, list[dict[str, Any]]] = {}
    for model in MODELS:
        registered = get_model_weights(model)
        weights_by_model[model] = [
            {
                "name": weights.name,
                "source": weights.url,
                "size_bytes": round(weights.meta["_file_size"] * BYTES_PER_MEBIBYTE),
                "sha256": weights.url.rpartition("-")[2].removesuffix(".pth"),
            }
            for weights in sorted(registered, key=lambda weights: weights != registered.DEFAULT)
        ]
    return weights_by_model


def main() -> None:
    """Write the file."""
    body = ",\n".join(f"{json.dumps(model)}: {json.dumps(lines)}" for model, lines in table().items())
    Path(__file__).with_name("weights.json").write_text("{\n" + body + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
