"""The command that lists voices, and checks of the chosen voice. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from vczoo.cli.terminal import as_run, print_line, print_table
from vczoo.errors import VoiceError

if TYPE_CHECKING:
    from vczoo.conversion.converter import Converter

__all__ = ["COMMANDS", "check_voice", "refuse_untrained"]


def voices(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run folder, a recipe, or owner/name[@revision] on the Hub.")
    ],
) -> None:
    """List the voices that a run can convert to. Loads no model."""
    from vczoo.conversion.voice_listing import list_voices

    listed = list_voices(as_run(run))
    if not listed:
        print_line(
            f"{run} has no voice yet; `vczoo train` and `vczoo enroll` add voices",
            to_stderr=True,
        )
        return
    trained = any(voice.seconds for voice in listed)
    rows = [{"voice": voice.name, "origin": voice.origin} for voice in listed]
    for row, voice in zip(rows, listed, strict=True) if trained else ():
        row["trained on"] = "" if voice.seconds is None else f"{voice.seconds:.0f} s"
    print_table(rows)


def check_voice(run: str, voice: str) -> None:
    """Check the voice that a person chose against the voices of a local run or a recipe.

    Args:
        run: The run as the person names it. A run on the Hub is not checked here, since that would need the network.
        voice: The text of --voice; "" for the only voice.

    Raises:
        VoiceError: There is no such voice, or there are several and none is chosen.
        AudioError: A recording of the voice does not exist or is not audio.
        UnknownNameError, RecipeError, RunError: The run cannot be read.
    """
    from vczoo.audio.reader import SoundReader
    from vczoo.conversion.name import read_name
    from vczoo.conversion.voice_listing import list_voices
    from vczoo.conversion.voice_mix import read_references
    from vczoo.data.listing import expand_recordings

    name = as_run(run)
    if read_name(name)[0] == "hub":
        return
    _, references = read_references(voice or None, [listed.name for listed in list_voices(name)])
    for recording in expand_recordings(references.values(), []):
        SoundReader(recording)


def refuse_untrained(run: str, converter: Converter) -> None:
    """Refuse to convert with a recipe whose voice head nobody has trained: the result would be noise.

    Args:
        run: The run or recipe as the person names it.
        converter: The same, loaded.

    Raises:
        VoiceError: It is a recipe without a `start`, and its voice head has parameters.
    """
    from vczoo.conversion.name import read_name
    from vczoo.models.recipe import read_recipe

    kind, location = read_name(as_run(run))
    if kind == "recipe" and not read_recipe(location).start and _has_parameters(converter):
        raise VoiceError(
            f"{run} is a recipe whose voice head is not trained yet, so the result would be noise. Train it with "
            f"`vczoo train {run} --data … --out …`, or convert with `base`, which is trained"
        )


def _has_parameters(converter: Converter) -> bool:
    return any(True for head in converter.model.voice_heads.values() for _ in head.parameters())


COMMANDS: dict[str, Callable[..., None]] = {"voices": voices}
