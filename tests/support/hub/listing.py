"""What the Hub says of its repositories: searches, infos, trees, refs and commits. In: a request; out: a page of JSON.

Part of `api.py`'s interface; importing this registers it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from tests.support.hub.api import Answer, Hub, Request, route
from tests.support.hub.card import read_card, tags_of
from tests.support.hub.store import Blob, Commit, HubError, Repo, git_oid, tree_oids

SORTS = {
    "createdAt": lambda repo: repo.created,
    "lastModified": lambda repo: repo.head.date,
    "downloads": lambda repo: repo.downloads,
    "likes": lambda repo: repo.likes,
    "trendingScore": lambda repo: repo.created,  # nothing trends here: the newest first
}
SHORT = (
    "modelId",
    "likes",
    "trendingScore",
    "private",
    "downloads",
    "tags",
    "pipeline_tag",
    "library_name",
    "createdAt",
)
FULL = ("author", "gated", "disabled", "lastModified", "sha", "siblings")


def page(hub: Hub, request: Request, entries: Sequence[Any], count: int) -> tuple[Sequence[Any], dict[str, str]]:
    """The page that a request's cursor is at, and the header that links to the next."""
    start = int(request.option("cursor", "0"))
    if start + count >= len(entries):
        return entries[start:], {}
    query = urlencode({**request.query, "cursor": [start + count]}, doseq=True)
    return entries[start : start + count], {"Link": f'<{hub.endpoint}{request.path}?{query}>; rel="next"'}


def date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def describe(repo: Repo, commit: Commit, *, blobs: bool = False) -> dict[str, Any]:
    """All that the Hub knows of a repository at a commit."""
    readme = commit.blobs.get("README.md", Blob(b""))
    card, _, _ = read_card(readme.data.decode(errors="replace"))
    siblings = [{"rfilename": path, **(_size(blob) if blobs else {})} for path, blob in sorted(commit.blobs.items())]
    known = {
        "_id": git_oid("blob", repo.id.encode())[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.owner,
        "sha": commit.oid,
        "createdAt": date(repo.created),
        "lastModified": date(repo.head.date),
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": repo.downloads,
        "likes": repo.likes,
        "trendingScore": 0,
        "library_name": card.get("library_name"),
        "pipeline_tag": card.get("pipeline_tag"),
        "tags": tags_of(card, list(commit.blobs)),
        "cardData": card or None,
        "model-index": card.get("model-index"),
        "siblings": siblings,
        "usedStorage": sum(len(data) for data in repo.objects.values()),
    }
    return {key: value for key, value in known.items() if value is not None}


def _size(blob: Blob) -> dict[str, Any]:
    lfs = {"sha256": blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}
    return {"blobId": blob.oid, "size": len(blob.data), **({"lfs": lfs} if blob.lfs else {})}


def _chosen(known: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: known[key] for key in ("_id", "id", *keys) if key in known}


@route("GET", "/api/models")
def models(hub: Hub, request: Request) -> Answer:
    sort = request.option("sort", "trendingScore")
    if sort not in SORTS:
        raise HubError(400, f"✖ Invalid option: expected one of {'|'.join(SORTS)}, got {sort}")
    repos = [repo for repo in reversed(hub.repos.values()) if hub.may_read(request.user, repo)]
    repos.sort(key=SORTS[sort], reverse=True)
    keys: tuple[str, ...] = SHORT
    if request.flag("full"):
        keys += FULL
    if request.flag("cardData"):
        keys += ("cardData",)
    if "expand" in request.query:
        keys = tuple(request.query["expand"])
    found = []
    for repo in repos:
        known = describe(repo, repo.head)
        if _wanted(request, repo, known):
            found.append(_chosen(known, keys))
    entries, headers = page(hub, request, found, min(int(request.option("limit", "1000")), hub.page_entries))
    return Answer.of(entries, headers=headers)


def _wanted(request: Request, repo: Repo, known: dict[str, Any]) -> bool:
    task = known.get("pipeline_tag", "")
    return (
        request.option("author", repo.owner) == repo.owner
        and request.option("pipeline_tag", task) == task
        and all(word in repo.id.lower() for word in request.option("search").lower().split())
        # The client repeats the parameter; the Hub takes commas, too.
        and all(tag in known["tags"] for tags in request.query.get("filter", []) for tag in tags.split(","))
        and ("gated" not in request.query or request.flag("gated") == bool(repo.gated))
    )


@route("GET", "/api/models/{repo}")
def info(hub: Hub, request: Request) -> Answer:
    return _info(hub, request, "main")


@route("GET", "/api/models/{repo}/revision/{rev}")
def info_at(hub: Hub, request: Request) -> Answer:
    return _info(hub, request, request.parts["rev"])


def _info(hub: Hub, request: Request, revision: str) -> Answer:
    repo = hub.repo_of(request)
    known = describe(repo, repo.at(revision), blobs=request.flag("blobs"))
    return Answer.of(_chosen(known, request.query["expand"]) if "expand" in request.query else known)


@route("GET", "/api/models/{repo}/auth-check")
def auth_check(hub: Hub, request: Request) -> Answer:
    hub.repo_of(request, files=True)
    return Answer(b"OK")


@route("GET", "/api/models/{repo}/auth-check/write")
def auth_check_write(hub: Hub, request: Request) -> Answer:
    hub.repo_of(request, write=True)
    return Answer(b"OK")


def _entry(repo: Repo, commit: Commit, path: str, oids: dict[str, str], *, expand: bool) -> dict[str, Any]:
    """A file or a folder of a tree."""
    blob = commit.blobs.get(path)
    entry: dict[str, Any] = {"type": "directory", "oid": oids.get(path, ""), "size": 0, "path": path}
    if blob is not None:
        entry |= {"type": "file", "oid": blob.oid, "size": len(blob.data)}
        if blob.lfs:
            entry["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": len(blob.pointer)}
    if expand:
        last = repo.last_change(commit, path)
        entry["lastCommit"] = {"id": last.oid, "title": last.message, "date": date(last.date)}
        if blob is not None:
            scan = {"status": "safe", "avScan": None, "pickleImportScan": None}
            entry["securityFileStatus"] = scan
    return entry


@route("GET", "/api/models/{repo}/tree/{rev}")
def tree(hub: Hub, request: Request) -> Answer:
    return _tree(hub, request, "")


@route("GET", "/api/models/{repo}/tree/{rev}/{path...}")
def tree_of(hub: Hub, request: Request) -> Answer:
    return _tree(hub, request, request.parts["path"].strip("/"))


def _tree(hub: Hub, request: Request, folder: str) -> Answer:
    repo = hub.repo_of(request)
    commit, expand = repo.at(request.parts["rev"]), request.flag("expand")
    oids = tree_oids(commit.blobs)
    if folder not in oids:
        raise HubError(404, f"{folder} does not exist on {request.parts['rev']!r}", "EntryNotFound")
    inside = [path for path in sorted({*commit.blobs, *oids} - {""}) if path.startswith(f"{folder}/" if folder else "")]
    if not request.flag("recursive"):
        inside = [path for path in inside if path.rpartition("/")[0] == folder]
    paths, headers = page(hub, request, inside, min(50, hub.page_entries) if expand else hub.page_entries)
    return Answer.of([_entry(repo, commit, path, oids, expand=expand) for path in paths], headers=headers)


@route("POST", "/api/models/{repo}/paths-info/{rev}")
def paths_info(hub: Hub, request: Request) -> Answer:
    repo, wish = hub.repo_of(request), request.json_or_form()
    commit = repo.at(request.parts["rev"])
    oids = tree_oids(commit.blobs)
    paths = [path.strip("/") for path in wish["paths"]]
    expand = wish.get("expand") in (True, ["true"], ["True"])
    known = [path for path in paths if path in commit.blobs or path in oids]
    return Answer.of([_entry(repo, commit, path, oids, expand=expand) for path in known])


@route("GET", "/api/models/{repo}/refs")
def refs(hub: Hub, request: Request) -> Answer:
    repo = hub.repo_of(request)
    reply: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    for ref, oid in repo.refs.items():
        kind, _, name = ref.removeprefix("refs/").partition("/")
        reply["branches" if kind == "heads" else "tags"].append({"name": name, "ref": ref, "targetCommit": oid})
    return Answer.of(reply)


@route("GET", "/api/models/{repo}/commits/{rev}")
def commits(hub: Hub, request: Request) -> Answer:
    history = hub.repo_of(request).history(request.parts["rev"])
    rows = []
    for commit in history:
        row: dict[str, Any] = {"id": commit.oid, "title": commit.message, "message": commit.description}
        row |= {"authors": [{"user": commit.author}], "date": date(commit.date)}
        if "formatted" in request.query.get("expand[]", []):
            row["formatted"] = {"title": f"<p>{commit.message}</p>", "message": f"<p>{commit.description}</p>"}
        rows.append(row)
    entries, headers = page(hub, request, rows, hub.page_entries)
    return Answer.of(entries, headers=headers)


@route("POST", "/api/models/{repo}/tag/{rev}")
def create_tag(hub: Hub, request: Request) -> Answer:
    repo = hub.repo_of(request, write=True)
    return _name(repo, "tags", request.json()["tag"], repo.at(request.parts["rev"]).oid)


@route("POST", "/api/models/{repo}/branch/{name}")
def create_branch(hub: Hub, request: Request) -> Answer:
    repo = hub.repo_of(request, write=True)
    return _name(repo, "heads", request.parts["name"], repo.at(request.json().get("startingPoint", "main")).oid)


def _name(repo: Repo, kind: str, name: str, oid: str) -> Answer:
    """Let a new branch or tag point to a commit."""
    if not re.fullmatch(r"[\w+-](?:[\w.+/-]*[\w+-])?", name) or ".." in name:
        raise HubError(400, f"Invalid git reference name: {name!r}")
    ref = f"refs/{kind}/{name}"
    if ref in repo.refs:
        raise HubError(409, "Tag reference exists already" if kind == "tags" else "Reference already exists")
    repo.refs[ref] = oid
    return Answer.of({"ref": ref})


@route("DELETE", "/api/models/{repo}/tag/{name}")
def delete_tag(hub: Hub, request: Request) -> Answer:
    return _forget(hub, request, "tags")


@route("DELETE", "/api/models/{repo}/branch/{name}")
def delete_branch(hub: Hub, request: Request) -> Answer:
    if request.parts["name"] == "main":
        raise HubError(403, "Cannot delete the default branch")
    return _forget(hub, request, "heads")


def _forget(hub: Hub, request: Request, kind: str) -> Answer:
    repo, name = hub.repo_of(request, write=True), request.parts["name"]
    if f"refs/{kind}/{name}" not in repo.refs:
        raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")
    del repo.refs[f"refs/{kind}/{name}"]
    return Answer(b"OK")
