"""The Hub's HTTP interface without the HTTP. In: a request; out: an answer, or a `HubError`.

Written from what `huggingface_hub` 2.4.0 sends and reads, and from the real Hub's known answers. Models alone:
no datasets, Spaces, pull requests or Xet. Here are the accounts and the repositories as a whole; `files.py` (what
is uploaded, committed and downloaded) and `listing.py` (what is searched and told) register the rest.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode

from tests.support.hub.store import HubError, Repo, User


@dataclass(frozen=True)
class Request:
    """What was asked: the path as sent, without its query; the query's and a form's values as lists."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]  # by names in lower case
    body: bytes
    user: User | None = None
    parts: dict[str, str] = field(default_factory=dict)  # of the path, decoded: repo, rev, path ...

    def option(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        return self.option(name).lower() in ("true", "1")

    def json(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.body or b"{}"))
        except ValueError as error:
            raise HubError(400, f"the body is not JSON: {error}") from error

    def json_or_form(self) -> dict[str, Any]:
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return dict(parse_qs(self.body.decode(), keep_blank_values=True))
        return self.json()


@dataclass
class Answer:
    """What is sent back. `content` where the body may be asked for in ranges."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bool = False

    @classmethod
    def of(cls, value: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
        return cls(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    @classmethod
    def refusal(cls, error: HubError) -> Answer:
        # A header holds one line of Latin-1.
        message = " ".join(error.message.split()).encode("latin-1", "replace").decode("latin-1")
        headers = {"X-Error-Message": message} | ({"X-Error-Code": error.code} if error.code else {}) | error.headers
        return cls.of({"error": error.message, **error.body}, error.status, headers)


ROUTES: list[tuple[str, re.Pattern[str], Callable[[Hub, Request], Answer]]] = []


def route(methods: str, pattern: str) -> Callable[[Callable[[Hub, Request], Answer]], Callable[[Hub, Request], Answer]]:
    """Register a function for methods ("GET HEAD") and a path; {repo} is two segments, {path...} the rest."""
    parts = {"{repo}": "(?P<repo>[^/]+/[^/]+)", "{path...}": "(?P<path>.+)"}
    expression = re.sub(
        r"\{\w+(?:\.\.\.)?\}", lambda match: parts.get(match[0], f"(?P<{match[0][1:-1]}>[^/]+)"), pattern
    )

    def register(function: Callable[[Hub, Request], Answer]) -> Callable[[Hub, Request], Answer]:
        ROUTES.extend((method, re.compile(expression), function) for method in methods.split())
        return function

    return register


class Hub:
    """The state behind the interface, and who may see what of it.

    `page_entries` are a page of a listing. An upload above `part_bytes` is asked for in parts of that size.
    """

    def __init__(self) -> None:
        self.endpoint = ""  # of the Hub
        self.storage = ""  # of the large files: another origin, as with the real Hub
        self.users: dict[str, User] = {}  # by token
        self.repos: dict[str, Repo] = {}
        self.parts: dict[tuple[str, str], dict[int, bytes]] = {}  # of unfinished uploads, by repository and SHA-256
        self.page_entries = 1000
        self.part_bytes = 5 * 1000**3
        self.key = secrets.token_hex(8)  # signs what storage is asked for, which has no tokens

    def handle(self, request: Request) -> Answer:
        """Do what is asked.

        Raises:
            HubError: the Hub refuses it.
        """
        for method, pattern, function in ROUTES:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                parts = {name: unquote(value) for name, value in match.groupdict().items()}
                return function(self, replace(request, user=self._user(request), parts=parts))
        raise HubError(404, f"Sorry, we can't find the page you are looking for: {request.method} {request.path}")

    def _user(self, request: Request) -> User | None:
        authorization = request.headers.get("authorization", "")
        if not authorization:
            return None
        user = self.users.get(authorization.removeprefix("Bearer "))
        if user is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        if user.expired:
            raise HubError(401, f'User Access Token "{user.name}" is expired')
        return user

    def owns(self, user: User | None, namespace: str) -> bool:
        return user is not None and (namespace == user.name or namespace in user.orgs)

    def may_read(self, user: User | None, repo: Repo) -> bool:
        return not repo.private or self.owns(user, repo.owner) or (user is not None and user.name in repo.readers)

    def repo_of(self, request: Request, *, write: bool = False, files: bool = False) -> Repo:
        """The repository that a request is about, where its user may read it; or its `files`; or may `write` it.

        A private repository looks like one that is not there; to nobody in particular both are a 401.
        """
        user, name = request.user, request.parts["repo"]
        repo = self.repos.get(name)
        if repo is None or not self.may_read(user, repo):
            if user is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")
        if write:
            self.check_write(user, repo.owner)
        if files and repo.gated and not self.owns(user, repo.owner) and not (user and user.name in repo.readers):
            restricted = f"Access to model {name} is restricted"
            if user is None:
                message = f"{restricted}. You must have access to it and be authenticated to access it. Please log in."
                raise HubError(401, message, "GatedRepo")
            message = (
                f"{restricted} and you are not in the authorized list. Visit {self.endpoint}/{name} to ask for access."
            )
            raise HubError(403, message, "GatedRepo")
        return repo

    def check_write(self, user: User | None, namespace: str) -> None:
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if not self.owns(user, namespace):
            raise HubError(403, f'You don\'t have the rights to create a model under the namespace "{namespace}"')
        if user.role != "write":
            raise HubError(403, "Forbidden: you must use a token with write access for this operation")

    def signed(self, path: str, **query: str | int) -> str:
        return f"{self.storage}{quote(path)}?{urlencode({**query, 'key': self.key})}"

    def check_key(self, request: Request) -> Repo:
        if request.option("key") != self.key:
            raise HubError(403, "SignatureDoesNotMatch")
        if request.parts["repo"] not in self.repos:
            raise HubError(404, "NoSuchKey")
        return self.repos[request.parts["repo"]]


@route("GET", "/api/agent-harnesses")
def agent_harnesses(hub: Hub, request: Request) -> Answer:
    """Which programs may run the client: it asks this once per process."""
    return Answer.of({"standardEnvVars": [], "harnesses": {}})


@route("GET", "/api/whoami-v2")
def whoami(hub: Hub, request: Request) -> Answer:
    user = request.user
    if user is None:
        raise HubError(401, "Invalid username or password.")
    token = {"displayName": f"{user.name}'s token", "role": user.role}
    orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in user.orgs]
    auth = {"type": "access_token", "accessToken": token}
    return Answer.of({"type": "user", "id": user.name, "name": user.name, "orgs": orgs, "auth": auth})


@route("POST", "/api/repos/create")
def create(hub: Hub, request: Request) -> Answer:
    wish = request.json()
    if wish.get("type") not in (None, "model"):
        raise HubError(400, f"this Hub has models alone; got {wish['type']!r}")
    namespace = wish.get("organization") or (request.user.name if request.user else "")
    hub.check_write(request.user, namespace)
    name = f"{namespace}/{wish['name']}"
    reply = {"url": f"{hub.endpoint}/{name}", "name": name, "id": name}
    if name in hub.repos:
        raise HubError(409, "You already created this model repo", **reply)
    hub.repos[name] = Repo(name, private=bool(wish.get("private")) or wish.get("visibility") == "private")
    return Answer.of(reply)


@route("DELETE", "/api/repos/delete")
def delete(hub: Hub, request: Request) -> Answer:
    wish = request.json()
    name = f"{wish.get('organization') or (request.user.name if request.user else '')}/{wish['name']}"
    repo = hub.repo_of(replace(request, parts={"repo": name}), write=True)
    del hub.repos[repo.id]
    return Answer(b"OK")


@route("PUT", "/api/models/{repo}/settings")
def settings(hub: Hub, request: Request) -> Answer:
    repo, wish = hub.repo_of(request, write=True), request.json()
    repo.gated = wish.get("gated", repo.gated)
    repo.private = wish.get("visibility", "private" if repo.private else "public") == "private"
    return Answer.of({"gated": repo.gated, "private": repo.private})
