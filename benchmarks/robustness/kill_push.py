"""Kills (SIGKILL) of `vczoo push` and of `vczoo pull --out`, in turn, with the tests' Hub on this machine.

    python -m benchmarks.robustness.kill_push --kills 40

A command is killed at a random moment. After a push, the repository must have no file of the run or all of them; the
same push must then succeed, and leave no copy of the run among the temporary files. After a pull, the folder must be
whole or absent; the same pull must then succeed, and leave nothing beside the folder. Unfinished downloads in the
cache are counted, too, but are no failure: huggingface_hub names them at random and does not take them up again. Prints
the counts as JSON; the exit status is 1 if one that must be 0 is not. POSIX only.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import vczoo
from benchmarks.robustness.attack import read_options, wait
from benchmarks.robustness.forks import command, report, single_thread, small_run
from benchmarks.speed.hub_fixtures import speakers_on_a_hub
from vczoo.errors import VczooError
from vczoo.runs.run_files import MODEL, VOICES
from vczoo.runs.run_folder import load_run

TERMS = ("--license", "cc-by-4.0", "--consent", "synthetic")
GIVEN_BY_THE_HUB = {".gitattributes"}
BAD = ("half_repositories", "half_folders", "pushes_failed", "pulls_failed", "copies_left", "files_left")


def files_of(repository: str) -> set[str]:
    """The files in a repository, which need not exist."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return set(HfApi().list_repo_files(repository)) - GIVEN_BY_THE_HUB
    except RepositoryNotFoundError:
        return set()


def is_whole(folder: Path, run: Path) -> bool:
    """Whether a pulled folder loads and has the tensors of the run that was pushed."""
    try:
        load_run(folder)
    except VczooError as error:
        sys.stderr.write(f"{error}\n")
        return False
    return all((folder / name).read_bytes() == (run / name).read_bytes() for name in (MODEL, VOICES))


def main() -> int:
    options = read_options(__doc__, kills=40, seed=0)
    single_thread()
    chance = random.Random(options.seed)
    counts = dict.fromkeys(("kills", "published", "pulled", "unfinished_downloads", *BAD), 0)
    with speakers_on_a_hub() as speakers, tempfile.TemporaryDirectory() as place:
        folder, log, temporary = Path(place), Path(place) / "log", Path(place) / "temporary"
        run, cache = small_run(folder / "run"), speakers.folder / "hf" / "hub"
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)

        def push(repository: str) -> int:
            return command(log, "push", str(run), repository, *TERMS)

        def pull(repository: str, out: Path) -> int:
            return command(log, "pull", repository, "--out", str(out))

        def succeeds(process: int) -> bool:
            if status := wait(process):
                sys.stderr.write(log.read_text())
            return status == 0

        def killed(process: int, longest: float) -> bool:
            time.sleep(chance.uniform(0, longest))
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            return wait(process) == -signal.SIGKILL

        def pulls_whole(repository: str, out: Path) -> bool:
            return succeeds(pull(repository, out)) and is_whole(out, run)

        # What the commands import is imported here, once, so that the kills come while they work.
        vczoo.load(run, device="cpu").push_to_hub("me/imports", license=TERMS[1], consent=TERMS[3])
        vczoo.load("me/imports", device="cpu")
        began = time.monotonic()
        assert wait(push("me/whole")) == 0, log.read_text()
        longest_push = time.monotonic() - began
        began = time.monotonic()
        assert wait(pull("me/whole", folder / "whole")) == 0, log.read_text()
        longest_pull = time.monotonic() - began
        expected = files_of("me/whole")
        attempts = 0
        while counts["kills"] < options.kills:
            attempts += 1
            repository, out = f"me/run-{attempts}", folder / f"pulls-{attempts}" / "run"
            if counts["kills"] % 2 == 0:
                if not killed(push(repository), longest_push):
                    continue  # it was faster
                counts["kills"] += 1
                if published := files_of(repository):
                    counts["published"] += 1
                    whole = published == expected and pulls_whole(repository, folder / f"published-{attempts}")
                    counts["half_repositories"] += not whole
                counts["pushes_failed"] += not succeeds(push(repository)) or not pulls_whole(repository, out)
                counts["copies_left"] += sum(1 for _ in temporary.iterdir())
                continue
            shutil.rmtree(cache)
            if not killed(pull("me/whole", out), longest_pull):
                continue
            counts["kills"] += 1
            if out.exists():
                counts["pulled"] += 1
                counts["half_folders"] += not is_whole(out, run)
                out.rename(out.with_name("pulled"))
            counts["pulls_failed"] += not pulls_whole("me/whole", out)
            beside = {path.name for path in out.parent.iterdir()} - {"run", "pulled"}
            counts["files_left"] += len(beside)
            counts["unfinished_downloads"] += sum(1 for _ in cache.rglob("*.incomplete"))
    return report(counts, BAD)


if __name__ == "__main__":
    sys.exit(main())
