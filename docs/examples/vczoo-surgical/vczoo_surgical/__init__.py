"""Surgical fine-tuning for vczoo: name, metadata and recipes. This module imports no torch."""

from __future__ import annotations

from pathlib import Path

import vczoo

__all__ = ["vczoo_entries", "vczoo_recipes"]

vczoo_api = "1"


@vczoo.hookimpl
def vczoo_entries() -> list[vczoo.Entry]:
    """One freezing strategy."""
    return [
        vczoo.Entry(
            name="surgical/stages",
            kind="freezing",
            factory="vczoo_surgical.freezing:Surgical",
            summary="the stages that are named train, the first one by default; all others are frozen",
            licence="Apache-2.0",
            paper="arXiv:2210.11466",
            source="vczoo-surgical",
        )
    ]


@vczoo.hookimpl
def vczoo_recipes() -> Path:
    """One recipe a file, NAME.yaml."""
    return Path(__file__).with_name("recipes")
