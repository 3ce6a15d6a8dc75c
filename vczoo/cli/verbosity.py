"""How much a command prints: the options --quiet, --verbose and --debug, which every command has.

They set the level of the logger `vczoo`, on which progress bars depend, too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from vczoo.io.log import logger

__all__ = ["debugging", "restored_verbosity", "verbosity_options"]

HUB_BARS = "HF_HUB_DISABLE_PROGRESS_BARS"


def _set_quiet(chosen: bool) -> None:
    if chosen:
        logger.setLevel(logging.ERROR)
        os.environ.setdefault(HUB_BARS, "1")  # huggingface_hub reads it when it is first imported


def _set_verbose(chosen: bool) -> None:
    if chosen:
        _log_from(logging.INFO)


def _set_debug(chosen: bool) -> None:
    if chosen:
        _log_from(logging.DEBUG)


def _options(
    quiet: Annotated[
        bool,
        typer.Option("-q", "--quiet", callback=_set_quiet, is_eager=True, help="Print only results, warnings, errors."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", callback=_set_verbose, is_eager=True, help="Print what is being done.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", callback=_set_debug, is_eager=True, help="Print the traceback of an error, too.")
    ] = False,
) -> None:
    """Exist for the options alone, which typer reads from the signature."""


def verbosity_options() -> list[Any]:
    """Return the three options, for the parameters of a command whose function does not take them."""
    reader = typer.Typer(add_completion=False)
    reader.command()(_options)
    options = [part for part in typer.main.get_command(reader).params if part.name in _options.__annotations__]
    for option in options:
        option.expose_value = False
    return options


def debugging() -> bool:
    """Whether --debug was chosen."""
    return logger.level == logging.DEBUG


@contextmanager
def restored_verbosity() -> Iterator[None]:
    """Context manager that undoes what the options set, for programs that call several commands."""
    level, handlers, bars = logger.level, list(logger.handlers), os.environ.get(HUB_BARS)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        if bars is None:
            os.environ.pop(HUB_BARS, None)


def _log_from(level: int) -> None:
    """Print log records of this level and above on standard error."""
    logger.setLevel(level)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s" if level == logging.INFO else "%(levelname)s %(message)s"))
    logger.addHandler(handler)
