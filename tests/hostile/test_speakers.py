"""A speaker on the Hub made by somebody hostile, and a Hub that lies: nothing is written but in the Hub's cache."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import vczoo
from tests.support.hostile import listing, outcome
from tests.support.hub.api import Answer, Request
from tests.support.hub.server import HubServer
from vczoo.errors import HubError, VczooError
from vczoo.hub.pull import pull

FILES = ("vczoo.yaml", "model.safetensors", "voices.safetensors", "metrics.json")
Lie = Callable[[Request, Answer], None]


@pytest.fixture
def served(hub: HubServer, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub with the run as me/x, whose cache is elsewhere than the folders that are to stay as they were."""
    hub.put("me/x", {name: (run_folder / name).read_bytes() for name in FILES})
    outside = [tmp_path / name for name in ("home", "working", "temporary")]
    for path, variable in zip(outside, ("HOME", "PWD", "TMPDIR"), strict=True):
        path.mkdir()
        monkeypatch.setenv(variable, str(path))
    monkeypatch.chdir(tmp_path / "working")
    before, known = listing(*outside, run_folder), {path.name for path in tmp_path.iterdir()}
    yield hub
    assert listing(*outside, run_folder) == before
    assert {path.name for path in tmp_path.iterdir()} - known <= {"hf"}


def change(hub: HubServer, old: str, new: str) -> None:
    text = hub.repo("me/x").head.files["vczoo.yaml"].decode()
    assert old in text
    hub.put("me/x", {"vczoo.yaml": text.replace(old, new, 1).encode()})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("use: mel-conv", "use: os.system", "no backbone is called 'os.system'"),
        ("use: mel-conv", "use: !!python/name:os.system", "a tag"),
        ("weights: random", "weights: /etc/passwd", "'/etc/passwd' may be a path"),
        ("weights: random", "weights: ../../../x.safetensors", "may be a path"),
        ("  width: 16", "  width: 1000000000000", "the number 1000000000000"),
        ("  width: 16", "  width: 600000", "its tensors take"),
        ("  blocks: 1", "  blocks: 1000000", "blocks must be at most 256"),
        ("- alice", "- ../../alice", "the name "),
        ("files:\n", "files:\n  ../../x: " + "0" * 64 + "\n", "files.../../x"),
        ("format: 2", "a: &a [1]\nb: [*a, *a]\nformat: 2", "an alias"),
    ],
)
def test_a_hostile_speaker_is_refused_before_its_weights_come(
    served: HubServer, old: str, new: str, message: str
) -> None:
    change(served, old, new)
    with pytest.raises(VczooError) as error:
        vczoo.load("me/x")
    assert message in str(error.value)
    assert not served.seen("GET", "*/model.safetensors")


def test_files_that_a_speaker_has_beside_its_own_are_not_read(served: HubServer) -> None:
    served.put("me/x", {"../../evil": b"x", "curves.png": b"x", "x.pkl": b"x", "setup.py": b"raise SystemExit"})
    assert vczoo.load("me/x").voices == ("alice", "bob", "carol")
    cached = {path.name for path in Path(constants.HF_HUB_CACHE).rglob("snapshots/*/*")}
    assert cached == set(FILES)


ODD = ("me/x/../../y", "../x", "me/..", "/etc/passwd", "me/x@../../y", "me/x@/etc", "me/x\n", "me/x\0", "me/\u202ex")


@pytest.mark.parametrize("name", [*ODD, "me/" + "x" * 500])
def test_odd_names_ask_nobody(served: HubServer, name: str) -> None:
    with pytest.raises(VczooError) as error:
        pull(name)
    assert len(str(error.value)) < 1000
    assert served.requests == []


def body(path: str, change: Callable[[bytes], bytes], method: str = "*") -> Lie:
    def lie(request: Request, answer: Answer) -> None:
        if path in request.path and method in ("*", request.method):
            answer.body = change(answer.body)

    return lie


def field(path: str, name: str, value: str) -> Lie:
    pattern = rb'"%s": ?("[^"]*"|\d+)' % name.encode()
    return body(path, lambda content: re.sub(pattern, f'"{name}": {value}'.encode(), content))


def header(name: str, value: str) -> Lie:
    def lie(request: Request, answer: Answer) -> None:
        if "/resolve/" in request.path and (name != "Location" or name in answer.headers):
            answer.headers[name] = value

    return lie


def whole(value: bytes) -> Callable[[bytes], bytes]:
    return lambda _: value


def tell(hub: HubServer, lie: Lie, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Hub's answers be changed."""
    handle = hub.api.handle

    def lying(request: Request) -> Answer:
        answer = handle(request)
        lie(request, answer)
        return answer

    monkeypatch.setattr(hub.api, "handle", lying)


OUT = "../../../../../escaped"
LIES: dict[str, Lie] = {
    "no JSON": body("/api/", whole(b"<html>")),
    "a repository that is a list": body("/api/models/me/x", whole(b"[]"), "GET"),
    "a repository that is a number": body("/api/models/me/x", whole(b"17"), "GET"),
    "no commit": field("/api/models/me/x", "sha", "null"),
    "a commit that is a path": field("/api/models/me/x", "sha", f'"{OUT}"'),
    "no listing": body("paths-info", whole(b"null")),
    "an empty listing": body("paths-info", whole(b"[]")),
    "a deep listing": body("paths-info", whole(b"[" * 100_000)),
    "a listing of paths": body("paths-info", lambda content: content.replace(b"vczoo.yaml", b"../../vczoo.yaml")),
    "a size that is text": field("paths-info", "size", '"x"'),
    "no size": field("paths-info", "size", "null"),
    "a size below 0": field("paths-info", "size", "-1"),
    "a size of 1": field("paths-info", "size", "1"),
    "a size of 10^18": field("paths-info", "size", str(10**18)),
    "no digest": field("paths-info", "oid", "null"),
    "another digest": field("paths-info", "oid", f'"{"0" * 64}"'),
    "a file of another commit, by a path": header("X-Repo-Commit", OUT),
    "a length below 0": header("X-Linked-Size", "-5"),
    "a length of 10^22": header("X-Linked-Size", str(10**22)),
    "a file of this machine": header("Location", "file:///etc/passwd"),
    "another protocol": header("Location", "gopher://127.0.0.1:9/x"),
    "a port that nobody listens on": header("Location", "http://127.0.0.1:9/x"),
}


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_hub_that_lies_ends_in_one_error(served: HubServer, lie: Lie, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = served.api.handle
    tell(served, lie, monkeypatch)
    with pytest.raises(HubError) as error:
        vczoo.load("me/x")
    assert len(str(error.value)) < 1500
    monkeypatch.setattr(served.api, "handle", handle)
    assert vczoo.load("me/x").voices == ("alice", "bob", "carol")


def test_what_a_server_calls_a_file_is_not_removed_outside_the_cache(
    served: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub's client names a file in its cache by the server's ETag; what is there already it takes for the file."""
    mine = tmp_path / "home" / "mine"
    mine.write_text("mine")
    tell(served, header("ETag", f'"{mine}"'), monkeypatch)
    with pytest.raises(HubError, match="is damaged or was tampered with"):
        vczoo.load("me/x")
    assert mine.read_text() == "mine"
    mine.unlink()
    (tmp_path / "home" / "mine.lock").unlink(missing_ok=True)


@pytest.mark.parametrize("lie", [None, LIES["another digest"], LIES["a size of 1"], LIES["a listing of paths"]])
def test_pulling_into_a_folder_writes_there_alone(
    hub: HubServer, run_folder: Path, tmp_path: Path, lie: Lie | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("me/x", {name: (run_folder / name).read_bytes() for name in FILES} | {"more/x": b"x"})
    (tmp_path / "here").mkdir()
    if lie:
        tell(hub, lie, monkeypatch)
    known = {path.name for path in tmp_path.iterdir()}
    told = outcome(lambda: pull("me/x", tmp_path / "here" / "mine"))
    assert bool(told) == bool(lie)
    assert {path.name for path in tmp_path.iterdir()} - known <= {"hf"}
    assert [path.name for path in (tmp_path / "here").iterdir()] == ([] if lie else ["mine"])
    if not lie:
        assert {path.name for path in (tmp_path / "here" / "mine").iterdir()} == set(FILES)
        assert all(path.is_file() and not path.is_symlink() for path in (tmp_path / "here" / "mine").iterdir())
