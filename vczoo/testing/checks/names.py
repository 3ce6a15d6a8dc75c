"""Names of the conformance checks, in the order in which they run. This module does not import torch."""

from __future__ import annotations

from vczoo.registry.entry import Entry

__all__ = ["OF_ENTRIES", "OF_RECIPES", "checks_of"]

OF_ENTRIES = ("about", "light")
OF_RECIPES = ("light", "recipe", "needs")
_BUILDING = ("builds", "no_network")
_MODULES = ("same_seed", "save_load", "outline", "bfloat16", "float64", "devices", "threads")
_OF_KINDS = {
    "backbone": ("shapes", "num_frames", "batch", "padding", "stages", "prefix", "frozen", "gradients", *_MODULES),
    "freezing": ("multipliers", "frozen", "finish"),
    "head": ("shapes", "padding", "gradients", "predicts", "grow", "texts", "relabel", *_MODULES),
    "vocoder": ("shapes", "batch", "follow", "gradients", *_MODULES),
    "pitch": ("frames", "bounds", "silence", "tones"),
    "metric": ("columns", "figures", "partial", "empty"),
    "watermark": ("shapes", "repeats", "quiet", "detect", *_MODULES),
}


def checks_of(entry: Entry) -> tuple[str, ...]:
    """The names of the checks that run on an entry."""
    return OF_ENTRIES + _BUILDING + _OF_KINDS[entry.kind] + (("export",) if entry.exports else ())
