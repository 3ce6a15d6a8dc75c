"""Commands that publish runs on the Hugging Face Hub, and find and download published runs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vczoo.cli.json_output import Json, print_json
from vczoo.cli.terminal import Device, as_run, load_run, print_line, print_table
from vczoo.errors import VczooError
from vczoo.io.markdown import one_line
from vczoo.io.text import truncated_list

if TYPE_CHECKING:
    from vczoo.hub.commit import Published

__all__ = ["COMMANDS"]

Name = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A published run on the Hub, owner/name[@revision].")]


def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")],
    name: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The repository, which is created if it does not exist.")
    ],
    licence: Annotated[
        str, typer.Option("--license", help="License identifier of the Hub: cc-by-4.0, mit, apache-2.0, …")
    ],
    consent: Annotated[
        str,
        typer.Option(
            help="Your right to share the voices: own-voice, written-consent, public-dataset:NAME or synthetic."
        ),
    ],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    tag: Annotated[str, typer.Option(help="Tag for this version, such as v1.")] = "",
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Also publish the tensors of the base, so that loading does not download the base."
        ),
    ] = False,
    language: Annotated[
        list[str] | None, typer.Option(help="Language code of the voices, such as en; repeatable.")
    ] = None,
    data_license: Annotated[str, typer.Option(help="License of the recordings, if known.")] = "",
    sample: Annotated[
        list[Path] | None,
        typer.Option(help="A recording to convert to the voices, as a sample on the model card; repeatable."),
    ] = None,
    share_frames: Annotated[
        bool, typer.Option("--share-frames", help="Allow voices that contain their recordings frame by frame (kNN).")
    ] = False,
    message: Annotated[str, typer.Option(help="Commit message.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prepare, check and show everything, but upload nothing.")
    ] = False,
    device: Device = None,
    json: Json = False,
) -> None:
    """Publish a run on the Hugging Face Hub, in one commit. Recordings are never uploaded."""
    published = load_run(run, device).push_to_hub(
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
    if json:
        facts = {name: value for name, value in asdict(published).items() if name != "card"}
        print_json(facts | {"uploaded": not dry_run})
        return
    _print_published(published, dry_run)


def pull(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="Folder to copy the run to. Default: keep it in the cache.")] = None,
) -> None:
    """Download a published run. Files in the cache are not downloaded again."""
    from vczoo.hub.pull import pull as fetch

    pulled = fetch(name, out)
    print_line(f"{out or pulled.folder} (commit {pulled.commit[:12]})")


def search(
    words: Annotated[list[str] | None, typer.Argument(metavar="WORD", help="Words in the name.")] = None,
    base: Annotated[str, typer.Option(help="Part of the name of a backbone or base repository, such as wavlm.")] = "",
    language: Annotated[str, typer.Option(help="Language code, such as ko.")] = "",
    author: Annotated[str, typer.Option(help="Owner of the repository.")] = "",
    limit: Annotated[int, typer.Option(help="Maximum number of results.")] = 30,
    json: Json = False,
) -> None:
    """Find published runs on the Hub, the most downloaded first."""
    from vczoo.hub.search import search as search_hub

    runs = search_hub(" ".join(words or ()), base=base, language=language, author=author, limit=limit)
    if json:
        print_json([asdict(run) for run in runs])
        return
    if not runs:
        raise VczooError("no published run matches; try fewer words, or leave out an option")
    print_table([run.row() for run in runs])


def info(name: Name, json: Annotated[bool, typer.Option("--json", help="Print everything, as JSON.")] = False) -> None:
    """Describe a published run, without downloading its weights."""
    if isinstance(as_run(name), Path):
        raise VczooError(f"{name} is a run in a folder here; use `vczoo show {name}`")
    from vczoo.hub.search import describe_speaker

    facts = describe_speaker(name)
    if json:
        print_json(facts)
    else:
        print_line("\n".join(_summary(facts)))


def _print_published(published: Published, dry_run: bool) -> None:
    """Print the files of a published run, and how to use it."""
    rows = [{"file": path, "bytes": f"{size:,}"} for path, size in published.files.items()]
    print_table([*rows, {"file": "total", "bytes": f"{sum(published.files.values()):,}"}])
    for path in published.removed:
        print_line(f"removed: {path}")
    if dry_run:
        print_line(f"dry run: nothing was uploaded to {published.url}")
        return
    print_line(f"{published.url} (commit {published.commit[:12]})")
    print_line(f"try it with: vczoo convert {published.name} SOURCE.wav --voice VOICE --out OUT.wav")


def _summary(facts: Mapping[str, Any]) -> Iterator[str]:
    """What somebody wants to know before they use a published run, one line for each fact."""
    sizes = facts["megabytes"]
    lines = {
        "run": facts["speaker"],
        "commit": facts["commit"],
        "page": facts["page"],
        "license": facts["licence"],
        "consent": facts["consent"],
        "voices": ", ".join(truncated_list(facts["voices"])),
        "recipe": facts["recipe"].get("name"),
        "plugins": ", ".join(name for name in facts["plugins"] if name != "vczoo"),
        "trained from": ", ".join(part["source"] for part in facts["base"].values() if part["source"]),
        "size": f"{sum(sizes.values()):.1f} MB in {len(sizes)} files",
    }
    # Names come from others. A line break in one would look like a fact.
    yield from (f"{key}: {one_line(str(value))}" for key, value in lines.items() if value)
    if facts["voices"]:
        voice = shlex.quote(one_line(facts["voices"][0]))
        yield f"convert with: vczoo convert {facts['speaker']} SOURCE.wav --voice {voice}"
    yield f"everything else: vczoo info {facts['speaker']} --json"


def verify(
    target: Annotated[
        str, typer.Argument(metavar="RUN|OWNER/NAME", help="A run folder, or a published run on the Hub.")
    ],
    json: Json = False,
) -> None:
    """Check the checksums of a run, its pretrained base and its tensors. Exit status: 1 if a check fails."""
    from vczoo.hub.verify import verify as verify_run

    checks = verify_run(as_run(target))
    rows = [{"check": check.what, "state": check.state, "detail": check.detail} for check in checks]
    if json:
        print_json(rows)
    else:
        print_table(rows)
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(1)


COMMANDS: dict[str, Callable[..., None]] = {
    "push": push,
    "pull": pull,
    "search": search,
    "info": info,
    "verify": verify,
}
