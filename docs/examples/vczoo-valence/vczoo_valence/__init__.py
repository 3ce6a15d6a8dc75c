"""Valence for vczoo: name, metadata and a recipe. This module imports no torch."""

from __future__ import annotations

from pathlib import Path

import vczoo

__all__ = ["vczoo_entries", "vczoo_recipes"]

vczoo_api = "1"


@vczoo.hookimpl
def vczoo_entries() -> list[vczoo.Entry]:
    """One head."""
    return [
        vczoo.Entry(
            name="valence/regression",
            kind="head",
            factory="vczoo_valence.head:Valence",
            summary="predicts the valence of an utterance, a number per recording",
            licence="Apache-2.0",
            source="vczoo-valence",
        )
    ]


@vczoo.hookimpl
def vczoo_recipes() -> Path:
    """One file per recipe, NAME.yaml."""
    return Path(__file__).with_name("recipes")
