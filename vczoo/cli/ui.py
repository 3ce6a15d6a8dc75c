"""The command that serves a web page, or writes one for a Hugging Face Space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from vczoo.cli.terminal import Device, as_run, interruptible, print_line, print_note

__all__ = ["COMMANDS"]


def ui(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Further run folders or runs on the Hub, whose voices can be chosen."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve at. Others than this machine's need a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")] = 7860,
    token: Annotated[
        str, typer.Option(envvar="VCZOO_UI_TOKEN", help="What visitors must know.", show_default=False)
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder that tuned voices are kept in. Default: they are deleted with the visit."),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Serve nothing: write a folder that runs as a Hugging Face Space."),
    ] = None,
    device: Device = None,
) -> None:
    """Serve a page to convert, to make a voice, to compare and to share, until Ctrl-C."""
    if space is not None:
        from vczoo.ui.space import write_space

        print_line(f"{write_space(space, runs or ())}: upload its files to a Space whose SDK is Gradio")
        return
    from vczoo.ui.app import Server

    with interruptible("the page has ended, and its files are deleted"):
        server = Server([as_run(run) for run in runs or ()], host=host, port=port, token=token, device=device, out=out)
        print_note("loading the models …")
        with server:
            query = f"?{urlencode({'token': token})}" if token else ""
            print_line(f"open {server.url}{query} in a browser; Ctrl-C ends it")
            server.wait()


COMMANDS: dict[str, Callable[..., None]] = {"ui": ui}
