"""Bounds of a served page: who may reach it, and how large, long and many things may be."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from vczoo.audio.waveform import Waveform
from vczoo.errors import AudioError, VczooError

__all__ = ["Bounds", "check_address", "is_local", "read_clip"]

SHORTEST_TOKEN = 12


@dataclass(frozen=True)
class Bounds:
    """What a page accepts.

    Attributes:
        upload_bytes: The largest upload.
        disk_bytes: The most that all visitors together may keep in the working folder.
        source_seconds: The longest recording to convert.
        clips: The most clips of a new voice, and the most files of a batch.
        clips_seconds: The longest that the clips of a voice, or the files of a batch, may be together.
        conversion_seconds: The most time that a conversion may take.
        training_seconds: The most time that a fine-tune may take. It can be resumed.
        queue: The most requests that wait.
        visitors: The most sessions at once.
        grace_seconds: How long a session is kept after its last page was closed or lost its connection.
    """

    upload_bytes: int = 64_000_000
    disk_bytes: int = 4_000_000_000
    source_seconds: float = 120.0
    clips: int = 20
    clips_seconds: float = 600.0
    conversion_seconds: float = 180.0
    training_seconds: float = 3600.0
    queue: int = 20
    visitors: int = 50
    grace_seconds: float = 900.0


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address or a name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_address(host: str, token: str) -> None:
    """Refuse to serve to other machines without a token.

    Raises:
        VczooError: The address is not of this machine alone and there is no token, or the token is short.
    """
    if not is_local(host) and not token:
        raise VczooError(
            f"{host} can be reached from other machines, and the page would be open to all of them. Set a token that "
            "visitors must know: --token, or the environment variable VCZOO_UI_TOKEN; or leave out --host"
        )
    if token and len(token) < SHORTEST_TOKEN:
        raise VczooError(
            f"a token needs at least {SHORTEST_TOKEN} characters, got {len(token)}; for example: "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )


def read_clip(path: Path, most_seconds: float) -> Waveform:
    """Read an uploaded recording of a limited length.

    Raises:
        AudioError: It cannot be read, or is longer than `most_seconds`.
    """
    try:
        wave = Waveform.read(path)
    except AudioError as error:
        # Visitors know the file's name, and have no use for the folder that the server keeps it in.
        raise AudioError(str(error).replace(str(path), path.name)) from error
    if wave.seconds > most_seconds:
        raise AudioError(
            f"{path.name} is {wave.seconds:.0f} s long, and this page takes at most {most_seconds:.0f} s; cut it, or "
            "use `vczoo convert`, which has no limit"
        )
    return wave
