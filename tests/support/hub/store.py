"""What the test Hub keeps: repositories, their commits and their large files. In: blobs and changes; out: commits.

Ids are git's own: a regular file has the id of its blob, a large one that of its LFS pointer, a commit that of the
commit object, so that the client's comparisons with what it has work as they do with the real Hub.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Literal

LARGE_BYTES = 10 * 1000 * 1000
LARGE_SUFFIXES = tuple(
    """
    .7z .arrow .bin .bz2 .ckpt .flac .ftz .gguf .gz .h5 .jpg .mp3 .model .msgpack .npy .npz .ogg .onnx .opus .parquet
    .pb .pickle .pkl .png .pt .pth .rar .safetensors .tar .tflite .tgz .wav .wasm .xz .zip .zst
    """.split()  # noqa: SIM905  forty names, a word each
)
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES).encode()

Gated = Literal["auto", "manual", False]


class HubError(Exception):
    """What the Hub refuses: an HTTP status, its X-Error-Code where it has one, its message and the rest of its JSON."""

    def __init__(self, status: int, message: str, code: str = "", **body: object) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body
        self.headers: dict[str, str] = {}


@dataclass(frozen=True)
class User:
    """Who a token belongs to. `role` is "write" or "read"; an expired token is refused."""

    name: str
    token: str
    role: str = "write"
    orgs: tuple[str, ...] = ()
    expired: bool = False


def git_oid(kind: str, content: bytes) -> str:
    """`git hash-object`'s id of a blob, a tree or a commit."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


@dataclass(frozen=True)
class Blob:
    """A file's content, and whether it is kept as a large file (LFS)."""

    data: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n"
        ).encode()

    @cached_property
    def oid(self) -> str:
        return git_oid("blob", self.pointer if self.lfs else self.data)

    @property
    def etag(self) -> str:
        """What the client names its cached copy by."""
        return self.sha256 if self.lfs else self.oid


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether the Hub keeps a file as a large one: by its suffix, its size, or because it is binary."""
    return size > 0 and (path.endswith(LARGE_SUFFIXES) or size > LARGE_BYTES or b"\0" in sample)


def blobs_of(files: Mapping[str, bytes]) -> dict[str, Blob]:
    return {path: Blob(data, is_large(path, len(data), data[:512])) for path, data in files.items()}


def tree_oids(blobs: Mapping[str, Blob]) -> dict[str, str]:
    """git's id of every folder, the root's under ""."""
    children: dict[str, dict[str, tuple[bytes, str]]] = {"": {}}
    for path, blob in blobs.items():
        folder, _, name = path.rpartition("/")
        children.setdefault(folder, {})[name] = (b"100644", blob.oid)
        while folder:
            folder = folder.rpartition("/")[0]
            children.setdefault(folder, {})
    oids: dict[str, str] = {}
    # The deepest first, the root last.
    for folder in sorted(children, key=lambda folder: (folder != "", folder.count("/"), folder), reverse=True):
        rows = sorted(
            children[folder].items(), key=lambda row: (row[0] + ("/" if row[1][0] == b"40000" else "")).encode()
        )
        content = b"".join(mode + b" " + name.encode() + b"\0" + bytes.fromhex(oid) for name, (mode, oid) in rows)
        oids[folder] = git_oid("tree", content)
        if folder:
            parent, _, name = folder.rpartition("/")
            children[parent][name] = (b"40000", oids[folder])
    return oids


@dataclass
class Commit:
    """One commit: `oid`, `message` (its title), `description`, `parent` (an oid or ""), `author`, `date`, `blobs`."""

    message: str
    blobs: dict[str, Blob]
    description: str = ""
    parent: str = ""
    author: str = "me"
    date: datetime = field(default_factory=lambda: datetime.now(UTC))
    oid: str = field(init=False)

    def __post_init__(self) -> None:
        lines = [f"tree {tree_oids(self.blobs)['']}"]
        lines += [f"parent {self.parent}"] if self.parent else []
        lines += [f"{role} {self.author} <> {int(self.date.timestamp())} +0000" for role in ("author", "committer")]
        text = f"{self.message}\n\n{self.description}" if self.description else self.message
        self.oid = git_oid("commit", "\n".join([*lines, "", text, ""]).encode())

    @property
    def files(self) -> dict[str, bytes]:
        """{path: content}. A change to this copy changes nothing; `tamper` does."""
        return {path: blob.data for path, blob in self.blobs.items()}

    def tamper(self, path: str, data: bytes) -> None:
        """Change a file behind the commit's back: its oid stays, which no honest Hub would do."""
        self.blobs[path] = Blob(data, self.blobs[path].lfs)


@dataclass
class Repo:
    """One model repository. `refs` is {"refs/heads/main": oid, "refs/tags/v1": oid}; `commits` has the oldest first."""

    id: str
    private: bool = False
    gated: Gated = False
    downloads: int = 0
    likes: int = 0
    readers: set[str] = field(default_factory=set)  # who else may read it where it is private or gated
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # what was uploaded to LFS, by SHA-256
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        # The real Hub starts a repository with a commit, too.
        self.commit("initial commit", blobs_of({".gitattributes": GITATTRIBUTES}), author=self.owner)

    @property
    def owner(self) -> str:
        return self.id.partition("/")[0]

    @property
    def head(self) -> Commit:
        """The last commit of main."""
        return self.at("main")

    def at(self, revision: str) -> Commit:
        """The commit that a branch, a tag, a full ref, or a commit's id or its first seven digits or more names.

        Raises:
            HubError: 404 RevisionNotFound.
        """
        oid = next((self.refs[ref] for ref in _refs(revision) if ref in self.refs), revision)
        found = [commit for commit in self.commits if commit.oid == oid]
        if not found and re.fullmatch("[0-9a-f]{7,39}", oid):
            found = [commit for commit in self.commits if commit.oid.startswith(oid)]
        if len(found) != 1:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found[0]

    def history(self, revision: str) -> list[Commit]:
        """The commits that a revision stands on, the newest first."""
        by_oid = {commit.oid: commit for commit in self.commits}
        chain = [self.at(revision)]
        while chain[-1].parent:
            chain.append(by_oid[chain[-1].parent])
        return chain

    def commit(
        self,
        message: str,
        changes: Mapping[str, Blob],
        deletions: Iterable[str] = (),
        *,
        description: str = "",
        branch: str = "main",
        author: str = "",
    ) -> Commit:
        """Add a commit to a branch: `changes` put or replace files, `deletions` (paths) go first."""
        ref = f"refs/heads/{branch}"
        if self.commits and ref not in self.refs:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        parent = self.at(ref) if self.commits else None
        blobs = dict(parent.blobs) if parent else {}
        for path in deletions:
            del blobs[path]
        blobs.update(changes)
        commit = Commit(message, blobs, description, parent.oid if parent else "", author or self.owner)
        self.commits.append(commit)
        self.refs[ref] = commit.oid
        self.objects.update({blob.sha256: blob.data for blob in changes.values() if blob.lfs})
        return commit

    def last_change(self, commit: Commit, path: str) -> Commit:
        """The commit that gave a path (a file, or a folder without its slash) the content it has in `commit`."""

        def content(of: Commit) -> list[tuple[str, str]]:
            return [(name, blob.oid) for name, blob in sorted(of.blobs.items()) if f"{name}/".startswith(f"{path}/")]

        chain = self.history(commit.oid)
        for newer, older in pairwise(chain):
            if content(newer) != content(older):
                return newer
        return chain[-1]


def _refs(revision: str) -> tuple[str, ...]:
    return (revision,) if revision.startswith("refs/") else (f"refs/heads/{revision}", f"refs/tags/{revision}")
