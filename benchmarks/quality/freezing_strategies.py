"""Freezing strategies of the bench, as recipes, for each of its parts.

A strategy is what a recipe says of freezing, and the learning rate if it needs another one. All else is the same in a
part: the model, the epochs, the batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vczoo.io.files import write_text
from vczoo.io.plain_yaml import dump_plain

FEW = {"training": {"learning_rate": 0.003}}  # few parameters train, so steps can be larger
FROZEN = {"backbone": "full", "speaker": "full"}
ENROLLED = "enrolled"  # the row of no training


@dataclass(frozen=True)
class Part:
    """A model that is tuned by each strategy.

    Attributes:
        name: Name of the part.
        recipe: The recipe that all strategies extend.
        default: The strategy of that recipe, which the others are compared with.
        strategies: The recipe's changes by the name of the strategy.
        converts: Whether conversions are measured; otherwise, the accuracy of speaker recognition is.
    """

    name: str
    recipe: str
    default: str
    strategies: Mapping[str, Mapping[str, Any]]
    converts: bool = True

    def write_recipes(self, folder: Path, common: Mapping[str, Any]) -> dict[str, Path]:
        """Write a recipe for each strategy, and return the files by strategy.

        Args:
            folder: The folder for the files.
            common: What all of them say besides.
        """
        files = {}
        for name, values in self.strategies.items():
            files[name] = folder / f"{self.name}-{name}.yaml"
            training = {**common.get("training", {}), **values.get("training", {})}
            recipe = {"extends": self.recipe, **common, **values} | ({"training": training} if training else {})
            write_text(files[name], dump_plain(recipe))
        return files


def _of_backbone(default: int) -> dict[str, dict[str, Any]]:
    """Strategies of a backbone; the heads train whole. `default` is the number of stages that the default trains."""
    return {
        f"last-{default}": {"freezing": {"use": "partial", "trainable_stages": default}},
        "heads": {"freezing": {"use": "full"}},
        "surgical": {"freezing": {"use": "selected", "stages": [-2]}},
        "probe-then-tune": {
            "freezing": {"use": "probe-then-tune", "probe_epochs": 12},
            "training": {"backbone_rate": 0.1},
        },
        "autofreeze": {"freezing": {"use": "autofreeze"}},
        "everything": {"freezing": {"use": "none"}},
    }


def _of_decoder() -> dict[str, dict[str, Any]]:
    """Strategies that train the voice head, or a few numbers of it, and nothing else."""
    few = {
        "film-only": "film-only",
        "lora": {"use": "lora", "rank": 1, "alpha": 2},
        "lora-2": {"use": "lora", "rank": 2, "alpha": 4},
        "bitfit": "bitfit",
        "ia3": "ia3",
        "adapters": {"use": "adapters", "width": 8},
        "dora": {"use": "dora", "rank": 1, "alpha": 2},
    }
    return {
        "decoder": {"freezing": {**FROZEN, "voice": "none"}},
        **{name: {"freezing": {**FROZEN, "voice": voice}, **FEW} for name, voice in few.items()},
        "l2-sp": {"freezing": {**FROZEN, "voice": {"use": "l2-sp", "alpha": 0.01}}},
    }


OF_IMAGES = {  # of a backbone that is better known than `base`'s
    "last-1": {"freezing": {"use": "partial", "trainable_stages": 1}},
    "last-3": {"freezing": {"use": "partial", "trainable_stages": 3}},
    "discriminative": {"freezing": {"use": "discriminative"}},
    "gradual": {"freezing": {"use": "gradual", "every_epochs": 4}},
    "norms": {"freezing": {"use": "norms"}},
    "bitfit": {"freezing": {"use": "bitfit"}},
    "l2-sp": {"freezing": {"use": "l2-sp", "alpha": 0.01}},
    "lora": {"freezing": {"use": "lora", "rank": 4, "alpha": 8}},
    "dora": {"freezing": {"use": "dora", "rank": 4, "alpha": 8}},
    "ia3": {"freezing": {"use": "ia3"}},
    "adapters": {"freezing": {"use": "adapters", "width": 8}},
}

PARTS = {
    part.name: part
    for part in (
        # The cheapest first, because a bench may be interrupted.
        Part("base", "base-partialfreeze", "decoder", {**_of_decoder(), **_of_backbone(1), "decoder": {}}),
        Part("whisper-tiny-decoder", "whisper-tiny-decoder", "heads", {**_of_decoder(), **_of_backbone(1)}),
        Part("efficientnet-speaker", "efficientnet-speaker", "last-2", {**_of_backbone(2), **OF_IMAGES}, False),
    )
}
