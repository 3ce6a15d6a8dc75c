"""Vocos as a vocoder: names and metadata. No torch here."""

from __future__ import annotations

from dataclasses import replace

import vczoo

__all__ = ["MEL_24KHZ", "vczoo_entries"]

vczoo_api = "1"

# The repository holds only a pickle. Many public projects record this same revision and checksum.
MEL_24KHZ = vczoo.Weights(
    name="mel-24khz",
    source="charactr/vocos-mel-24khz",
    licence="MIT",
    size_bytes=54_365_991,
    sha256="97ec976ad1fd67a33ab2682d29c0ac7df85234fae875aefcc5fb215681a91b2a",
    revision="0feb3fdd929bcd6649e0e7c5a688cf7dd012ef21",
)


@vczoo.hookimpl
def vczoo_entries() -> list[vczoo.Entry]:
    """The published vocoder, and a small one to train."""
    published = vczoo.Entry(
        name="vocos/mel-24khz",
        kind="vocoder",
        factory="vczoo_vocos.build:build_published",
        summary="Vocos as published: 100 mels, 24 kHz, 13.5 M parameters",
        licence="MIT",
        paper="arXiv:2306.00814",
        source="https://github.com/gemelo-ai/vocos",
        weights=(MEL_24KHZ,),
    )
    small = replace(
        published,
        name="vocos/small-16khz",
        factory="vczoo_vocos.build:build_small",
        summary="a small Vocos to train, on vczoo's own mels at 16 kHz",
        weights=(),
    )
    return [published, small]
