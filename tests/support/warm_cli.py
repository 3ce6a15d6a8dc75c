"""A `vczoo` command that starts at once: a server has imported torch, and forks for each call.

The docs hold some two hundred commands, and importing torch takes longer than most of them. Each call gets its own
process with the caller's arguments, folder, environment and streams. huggingface_hub and the plugins are not imported
beforehand, since they read the environment at import.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CLIENT = """#!{python} -ES
import array, json, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
link.sendmsg([len(call).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
link.sendall(call)
sys.exit(int(link.recv(16) or b"70"))
"""


@contextlib.contextmanager
def warm_cli(folder: Path) -> Iterator[Path]:
    """Start the server; gives the folder that holds the command, for the PATH."""
    address, commands = str(folder / "socket"), folder / "bin"
    commands.mkdir(parents=True)
    command = commands / "vczoo"
    command.write_text(CLIENT.format(python=sys.executable, address=address))
    command.chmod(0o755)
    server = subprocess.Popen([sys.executable, "-m", "tests.support.warm_cli", address])
    try:
        while not os.path.exists(address):
            assert server.poll() is None, "the server of the warm command line did not start"
            time.sleep(0.05)
        yield commands
    finally:
        server.kill()
        server.wait()


def serve(address: str) -> None:
    """Fork for each call, until killed."""
    import pyworld  # noqa: F401
    import soundfile  # noqa: F401
    import soxr  # noqa: F401
    import torch
    import typer  # noqa: F401

    import vczoo.cli.app

    assert torch.get_num_threads() >= 1
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen()
    os.rename(f"{address}.new", address)
    while True:
        link, _ = listener.accept()
        if os.fork():
            link.close()
            continue
        if worker := os.fork():
            link.sendall(str(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])).encode())
            os._exit(0)
        listener.close()
        fds = array.array("i")
        size, ancillary, *_ = link.recvmsg(4, socket.CMSG_SPACE(3 * fds.itemsize))
        fds.frombytes(ancillary[0][2])
        call = b""
        while len(call) < int.from_bytes(size, "big"):
            call += link.recv(1 << 16)
        link.close()
        arguments, place, environment = json.loads(call)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
            os.close(fd)
        os.chdir(place)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:0] = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
        sys.argv = ["vczoo", *arguments]
        status: object = 0
        try:
            vczoo.cli.app.main()
        except SystemExit as stop:
            status = stop.code
        except BaseException:
            import traceback

            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else int(bool(status)))


if __name__ == "__main__":
    serve(sys.argv[1])
