"""Commands that list, add and compare voices, and checks of the chosen voice. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.terminal import (
    Channel,
    Device,
    RunName,
    as_run,
    interruptible,
    load_run,
    print_line,
    print_note,
    print_table,
)
from vczoo.errors import VczooError, VoiceError
from vczoo.io.files import is_folder_with

if TYPE_CHECKING:
    from vczoo.conversion.converter import Converter

__all__ = ["COMMANDS", "check_voice", "refuse_untrained"]


def voices(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run folder, a recipe, or owner/name[@revision] on the Hub.")
    ],
    json: Json = False,
) -> None:
    """List the voices that a run can convert to. Loads no model."""
    from vczoo.conversion.voice_listing import list_voices

    listed = list_voices(as_run(run))
    if json:
        print_json([asdict(voice) for voice in listed])
        return
    if not listed:
        print_note(f"{run} has no voice yet; `vczoo train` and `vczoo enroll` add voices")
        return
    trained = any(voice.seconds for voice in listed)
    rows = [{"voice": voice.name, "origin": voice.origin} for voice in listed]
    for row, voice in zip(rows, listed, strict=True) if trained else ():
        row["trained on"] = "" if voice.seconds is None else f"{voice.seconds:.0f} s"
    print_table(rows)


def enroll(
    run: RunName,
    name: Annotated[str, typer.Argument(metavar="VOICE", help="Name of the new voice.")],
    recordings: Annotated[
        list[Path], typer.Argument(metavar="RECORDING", help="Recordings of the new voice, or folders of them.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the voice if it already exists.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the run with the added voice. Default: change RUN itself.")
    ] = None,
    channel: Channel = None,
    denoise: Annotated[
        bool, typer.Option("--denoise", help="Remove noise from the recordings first. Needs the extra denoise.")
    ] = False,
    device: Device = None,
) -> None:
    """Add a voice to a run from recordings of it, without training."""
    if out is None and not is_folder_with(Path(run), "vczoo.yaml"):
        raise VczooError(
            f"{run} is not a local run folder, so it cannot be changed; use --out to save the run to a new folder"
        )
    from vczoo.data.listing import expand_recordings
    from vczoo.io.names import name_fault
    from vczoo.io.text import truncated_list
    from vczoo.runs.run import own_voices
    from vczoo.runs.turn import changing

    if fault := name_fault(name):
        raise VczooError(f"{fault}; choose another name for the voice")
    passed_over: list[str] = []
    paths = expand_recordings(recordings, passed_over)
    # From loading to saving, nobody else may add a voice, which saving would undo.
    turn = nullcontext() if out else changing(Path(run), print_note)
    with interruptible(f"{'nothing was written' if out else f'{run} is unchanged'}"), turn:
        converter = load_run(run, device)
        advice = converter.enroll(name, paths, overwrite=overwrite, channel=channel, denoise=denoise)
        converter.save(out or run, overwrite=out is None)
    if passed_over:
        lines = ["passed over, because they are not audio:", *truncated_list(passed_over)]
        print_note("\n  ".join(lines))
    kept = own_voices(converter.run)
    print_line(f"{out or run}: voices {', '.join(kept)}")
    print_line(f"{name}: {advice}")
    if bundled := [voice for voice in converter.voices if voice not in kept]:
        print_line(
            f"not saved, because they come with {run} and are not yours to share: {', '.join(bundled)}\n"
            f"(`vczoo convert {run}` converts to them)"
        )


def identify(
    run: RunName,
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording of the speaker to identify.")],
    device: Device = None,
    json: Json = False,
) -> None:
    """Compare a recording with each voice, by the cosine of their speaker embeddings. Lists the nearest voice first."""
    scores = load_run(run, device).identify(recording)
    if json:
        print_json([{"name": name, "cosine": score} for name, score in scores.items()])
        return
    print_table([{"voice": name, "cosine": f"{score:.3f}"} for name, score in scores.items()])
    if len(scores) == 1:
        print_note(
            "(There is one voice, so the nearest says nothing about who speaks. Compare the cosine with that of "
            "recordings of this speaker, and of others; it is at most 1.)"
        )


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


COMMANDS: dict[str, Callable[..., None]] = {"voices": voices, "enroll": enroll, "identify": identify}
