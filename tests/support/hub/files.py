"""The Hub's files: checked, uploaded, committed, downloaded. In: a request; out: an answer, or a `HubError`.

Part of `api.py`'s interface; importing this registers it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlencode

from tests.support.hub.api import Answer, Hub, Request, route
from tests.support.hub.card import read_card
from tests.support.hub.store import Blob, Commit, HubError, Repo, is_large


@route("POST", "/api/validate-yaml")
def validate_yaml(hub: Hub, request: Request) -> Answer:
    _, errors, warnings = read_card(request.json()["content"])
    reply = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
    return Answer.of(reply, 400 if errors else 200)


@route("POST", "/api/models/{repo}/preupload/{rev}")
def preupload(hub: Hub, request: Request) -> Answer:
    blobs, wish = hub.repo_of(request, write=True).at(request.parts["rev"]).blobs, request.json()
    ignored = wish.get("gitIgnore")
    if ignored is None:
        ignored = blobs[".gitignore"].data.decode() if ".gitignore" in blobs else ""
    patterns = [line.strip() for line in ignored.splitlines() if line.strip() and not line.startswith("#")]
    files = []
    for file in wish["files"]:
        path = file["path"]
        large = is_large(path, file["size"], base64.b64decode(file["sample"]))
        reply = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": _ignored(path, patterns)}
        if path in blobs:
            reply["oid"] = blobs[path].etag
        files.append(reply)
    return Answer.of({"files": files})


def _ignored(path: str, patterns: list[str]) -> bool:
    """Whether a .gitignore's patterns ("*.tmp", "folder/", "a/b.txt"; no negation) leave a path out."""
    names = [path, *path.split("/"), *("/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1))]
    return any(fnmatchcase(name, pattern.strip("/")) for pattern in patterns for name in names)


@route("POST", "/{repo}.git/info/lfs/objects/batch")
def lfs_batch(hub: Hub, request: Request) -> Answer:
    repo, wish = hub.repo_of(request, write=True), request.json()
    objects = []
    for wanted in wish["objects"]:
        oid, size = wanted["oid"], wanted["size"]
        reply: dict[str, Any] = {"oid": oid, "size": size, "authenticated": True}
        if oid not in repo.objects:
            upload: dict[str, Any] = {"href": hub.signed(f"/uploads/{repo.id}/{oid}", size=size)}
            if size > hub.part_bytes and "multipart" in wish["transfers"]:
                count = -(-size // hub.part_bytes)
                urls = {str(n): hub.signed(f"/uploads/{repo.id}/{oid}", part=n) for n in range(1, count + 1)}
                finish = f"{hub.endpoint}/api/complete/{repo.id}/{oid}?{urlencode({'size': size, 'key': hub.key})}"
                upload = {"href": finish, "header": {"chunk_size": str(hub.part_bytes), **urls}}
            reply["actions"] = {"upload": upload, "verify": {"href": f"{hub.endpoint}/{repo.id}.git/info/lfs/verify"}}
        objects.append(reply)
    return Answer.of({"transfer": "basic", "objects": objects})


def _keep(repo: Repo, oid: str, data: bytes, size: int) -> Answer:
    """Keep an upload that is what it was announced as."""
    if len(data) != size or hashlib.sha256(data).hexdigest() != oid:
        raise HubError(400, f"BadDigest: expected {size} bytes with SHA-256 {oid}, got {len(data)} bytes of another")
    repo.objects[oid] = data
    return Answer()


@route("PUT", "/uploads/{repo}/{oid}")
def upload(hub: Hub, request: Request) -> Answer:
    repo, oid = hub.check_key(request), request.parts["oid"]
    if "part" not in request.query:
        return _keep(repo, oid, request.body, int(request.option("size")))
    hub.parts.setdefault((repo.id, oid), {})[int(request.option("part"))] = request.body
    return Answer(headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})


@route("POST", "/api/complete/{repo}/{oid}")
def complete(hub: Hub, request: Request) -> Answer:
    repo, oid = hub.check_key(request), request.parts["oid"]
    parts = hub.parts.pop((repo.id, oid), {})
    announced = {part["partNumber"]: part["etag"].strip('"') for part in request.json()["parts"]}
    if announced != {number: hashlib.md5(data).hexdigest() for number, data in parts.items()}:
        raise HubError(400, "InvalidPart")
    return _keep(repo, oid, b"".join(parts[number] for number in sorted(parts)), int(request.option("size")))


@route("POST", "/{repo}.git/info/lfs/verify")
def verify(hub: Hub, request: Request) -> Answer:
    repo, wish = hub.repo_of(request, write=True), request.json()
    if len(repo.objects.get(wish["oid"], b"")) != wish["size"]:
        raise HubError(404, f"object {wish['oid']} was not uploaded")
    return Answer()


@route("POST", "/api/models/{repo}/commit/{rev}")
def commit(hub: Hub, request: Request) -> Answer:
    """All of a commit or nothing of it."""
    repo, branch = hub.repo_of(request, write=True), request.parts["rev"].removeprefix("refs/heads/")
    if request.option("create_pr"):
        raise HubError(400, "this Hub has no pull requests")
    try:
        lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    except ValueError as error:
        raise HubError(400, f"the body is not ndjson: {error}") from error
    if not lines or lines[0].get("key") != "header" or not lines[0]["value"].get("summary"):
        raise HubError(400, '"summary" is required')
    header = lines[0]["value"]
    if f"refs/heads/{branch}" not in repo.refs:
        raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    head = repo.at(f"refs/heads/{branch}")
    if not head.oid.startswith(header.get("parentCommit", "")):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")

    changes: dict[str, Blob] = {}
    deletions: set[str] = set()
    for line in lines[1:]:
        key, value = line["key"], line["value"]
        if key == "file":
            changes[value["path"]] = Blob(_content(value))
        elif key == "lfsFile":
            if value["oid"] not in repo.objects:
                raise HubError(
                    400,
                    "Your push was rejected because an LFS pointer pointed to a file that does not exist. "
                    f"Offending file: - {value['path']}",
                )
            changes[value["path"]] = Blob(repo.objects[value["oid"]], lfs=True)
        elif key in ("deletedFile", "deletedFolder"):
            deletions |= _deleted(head, value["path"], folder=key == "deletedFolder")
        else:
            raise HubError(400, f"unknown operation {key!r}")
    if "README.md" in changes:
        _, errors, _ = read_card(changes["README.md"].data.decode())
        if errors:
            raise HubError(400, "Invalid metadata in README.md", errors=[{"message": text} for text in errors])
    made = repo.commit(
        header["summary"],
        changes,
        deletions,
        description=header.get("description", ""),
        branch=branch,
        author=request.user.name if request.user else "",
    )
    url = f"{hub.endpoint}/{repo.id}/commit/{made.oid}"
    return Answer.of({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def _content(value: dict[str, str]) -> bytes:
    if value.get("encoding") != "base64":
        return value["content"].encode()
    try:
        return base64.b64decode(value["content"], validate=True)
    except binascii.Error as error:
        raise HubError(400, f"{value['path']}: the content is not base64") from error


def _deleted(head: Commit, path: str, *, folder: bool) -> set[str]:
    paths = {name for name in head.blobs if (name.startswith(path.rstrip("/") + "/") if folder else name == path)}
    if not paths:
        raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    return paths


@route("GET HEAD", "/{repo}/resolve/{rev}/{path...}")
def resolve(hub: Hub, request: Request) -> Answer:
    """A file: itself, or, for a large one, where in storage it is, signed."""
    repo = hub.repo_of(request, files=True)
    commit, path = repo.at(request.parts["rev"]), request.parts["path"]
    known = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
    blob = commit.blobs.get(path)
    if blob is None:
        error = HubError(404, "Entry not found", "EntryNotFound")
        error.headers = {"X-Repo-Commit": commit.oid}
        raise error
    if not blob.lfs:
        return Answer(blob.data, headers={**known, "ETag": f'"{blob.etag}"'}, content=True)
    place = hub.signed(f"/storage/{repo.id}/{commit.oid}/{path}")
    linked = {"X-Linked-Size": str(len(blob.data)), "X-Linked-ETag": f'"{blob.etag}"', "Location": place}
    return Answer(f"Found. Redirecting to {place}".encode(), 302, {**known, **linked})


@route("GET HEAD", "/storage/{repo}/{rev}/{path...}")
def storage(hub: Hub, request: Request) -> Answer:
    blob = hub.check_key(request).at(request.parts["rev"]).blobs[request.parts["path"]]
    # Storage has an ETag of its own, which is none of the Hub's ids.
    etag = f'"{hashlib.md5(blob.data).hexdigest()}"'
    return Answer(blob.data, headers={"ETag": etag, "Accept-Ranges": "bytes"}, content=True)
