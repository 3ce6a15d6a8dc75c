"""The commands that share and fetch speakers: each calls one function and prints what it gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vczoo.cli.terminal import as_run, print_line, print_table
from vczoo.errors import VczooError

__all__ = ["COMMANDS"]

Name = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A speaker on the Hub, owner/name[@revision].")]


def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository; it is made where there is none.")],
    licence: Annotated[str, typer.Option("--license", help="Identifier of the Hub: cc-by-4.0, mit, apache-2.0 …")],
    consent: Annotated[
        str,
        typer.Option(help="own-voice, written-consent, public-dataset:NAME or synthetic: by what right it is shared."),
    ],
    private: Annotated[bool, typer.Option("--private", help="Only its owner sees it.")] = False,
    tag: Annotated[str, typer.Option(help="Name this version, as in v1.")] = "",
    whole: Annotated[
        bool, typer.Option("--whole", help="Publish the base's tensors, too: nobody needs the base to load it.")
    ] = False,
    language: Annotated[list[str] | None, typer.Option(help="Code of a language it speaks: en; repeatable.")] = None,
    data_license: Annotated[str, typer.Option(help="Licence of the recordings, where it is known.")] = "",
    sample: Annotated[
        list[Path] | None, typer.Option(help="A recording to convert into its voices, for the card; repeatable.")
    ] = None,
    share_frames: Annotated[
        bool, typer.Option("--share-frames", help="Publish voices that hold their recordings frame by frame (kNN).")
    ] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Make and check everything, show it, and send nothing.")
    ] = False,
) -> None:
    """Publish a run on the Hugging Face Hub, in one commit. Its recordings stay here."""
    from vczoo.conversion.load import load

    published = load(as_run(run)).push_to_hub(
        name,
        license=licence,
        consent=consent,
        private=private,
        tag=tag,
        whole=whole,
        languages=language or (),
        data_license=data_license,
        samples=sample or (),
        share_frames=share_frames,
        message=message,
        dry_run=dry_run,
    )
    rows = [{"file": path, "bytes": f"{size:,}"} for path, size in published.files.items()]
    print_table([*rows, {"file": "together", "bytes": f"{sum(published.files.values()):,}"}])
    for path in published.removed:
        print_line(f"removed: {path}")
    if dry_run:
        print_line(f"a dry run: nothing was sent to {published.url}")
        return
    print_line(f"{published.url} (commit {published.commit[:12]})")
    print_line(f"hear it with: vczoo convert {published.name} SOURCE.wav --voice VOICE --out OUT.wav")


def pull(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="A folder to copy the run to; else it stays in the cache.")] = None,
) -> None:
    """Download a speaker; what is in the cache is not downloaded again."""
    from vczoo.hub.pull import pull as fetch

    pulled = fetch(name, out)
    print_line(f"{out or pulled.folder} (commit {pulled.commit[:12]})")


def search(
    words: Annotated[list[str] | None, typer.Argument(help="Words of a name.")] = None,
    base: Annotated[str, typer.Option(help="Part of the name of a backbone or base repository: wavlm.")] = "",
    language: Annotated[str, typer.Option(help="Code of a language: ko.")] = "",
    author: Annotated[str, typer.Option(help="Owner.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.")] = 30,
) -> None:
    """Find speakers on the Hub, the most downloaded first."""
    from vczoo.hub.search import search as find

    found = find(" ".join(words or ()), base=base, language=language, author=author, limit=limit)
    if not found:
        raise VczooError("no speaker on the Hub is like that; try fewer words, or leave out an option")
    print_table([speaker.row() for speaker in found])


def info(name: Name) -> None:
    """Show what a speaker is, without downloading its weights."""
    from vczoo.hub.search import describe_speaker
    from vczoo.io.plain_yaml import dump_plain

    print_line(dump_plain(describe_speaker(name)))


def verify(
    target: Annotated[str, typer.Argument(metavar="RUN|OWNER/NAME", help="A run's folder, or a speaker on the Hub.")],
) -> None:
    """Check a run's checksums, its pretrained base and its tensors. Exit status 1 where something fails."""
    from vczoo.hub.verify import verify as check

    checks = check(as_run(target))
    print_table([{"check": one.what, "state": one.state, "detail": one.detail} for one in checks])
    if any(one.state == "failed" for one in checks):
        raise typer.Exit(1)


COMMANDS: dict[str, Callable[..., None]] = {
    "push": push,
    "pull": pull,
    "search": search,
    "info": info,
    "verify": verify,
}
