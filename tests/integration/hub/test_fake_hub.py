"""The test Hub holds to what the real client expects: every call goes through `huggingface_hub` itself."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    hf_hub_download,
    list_models,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.support.hub.client import pointed_at
from tests.support.hub.faults import Fault, flipped
from tests.support.hub.server import HubServer
from tests.support.hub.store import Blob, Commit, git_oid, tree_oids

CARD = b"---\nlicense: mit\ntags: [vczoo, voice-conversion]\nlanguage: [en, de]\n---\n# Alice\n"
WEIGHTS = bytes(range(256)) * 1000


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi()


@pytest.fixture
def alice(hub: HubServer) -> str:
    """The name of a repository with a card and, twice, weights."""
    files = {"README.md": CARD, "model.safetensors": WEIGHTS, "heads/voice.safetensors": WEIGHTS[:1000]}
    hub.put("me/alice", {**files, "heads/names.txt": b"alice\n"}, message="Alice's voice")
    return "me/alice"


def add(path: str, content: bytes | Path) -> CommitOperationAdd:
    return CommitOperationAdd(path, content)


def status(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


# Repositories and who may do what


def test_ids_are_git_s_own():
    assert git_oid("blob", b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    # As of `git write-tree` and `git hash-object -t commit` (git 2.39).
    blobs = {"a.txt": Blob(b"hello\n"), "b/c.txt": Blob(b"hello\n"), "b.txt": Blob(b"hello\n"), "b/d/e": Blob(b"")}
    assert tree_oids({})[""] == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert tree_oids(blobs)[""] == "d2eb71a15f6f4b8d0fe92047c1077a6da3fb78d9"
    assert tree_oids(blobs)["b/d"] == "aa09f3cb5dbbb431d96a0055dc96a6861f3ce7de"
    date = datetime.fromtimestamp(1700000000, UTC)
    assert Commit("message", blobs, date=date).oid == "c995a833311c98ad9206062a034bb4b224597591"


def test_a_repository_is_made_once(hub: HubServer, api: HfApi):
    url = api.create_repo("me/alice", private=True)
    assert (url, url.repo_id) == (f"{hub.endpoint}/me/alice", "me/alice")
    assert hub.repo("me/alice").private
    with pytest.raises(HfHubHTTPError, match="already created") as error:
        api.create_repo("me/alice")
    assert status(error) == 409
    assert api.create_repo("me/alice", exist_ok=True).repo_id == "me/alice"
    assert api.create_repo("bob").repo_id == "me/bob"
    assert not hub.repo("me/bob").private


def test_nobody_makes_a_repository_for_another(hub: HubServer, api: HfApi):
    with pytest.raises(HfHubHTTPError, match="rights to create") as error:
        api.create_repo("eve/alice")
    assert status(error) == 403
    hub.add_user("eve", token="hf_eve", orgs=("choir",))
    assert api.create_repo("choir/alice", token="hf_eve").repo_id == "choir/alice"


def test_a_repository_goes_for_good(hub: HubServer, api: HfApi, alice: str):
    api.delete_repo(alice)
    assert not api.repo_exists(alice)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(alice)
    api.delete_repo(alice, missing_ok=True)


def test_tokens_say_who_asks(hub: HubServer, api: HfApi, alice: str):
    assert api.whoami()["name"] == "me"
    hub.add_user("eve", token="hf_eve", role="read")
    assert api.whoami(token="hf_eve")["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as error:
        api.model_info(alice, token="hf_nobody")
    assert status(error) == 401
    assert not isinstance(error.value, RepositoryNotFoundError)
    hub.expire("hf_me")
    with pytest.raises(HfHubHTTPError, match="Invalid user token") as error:
        api.whoami()
    assert status(error) == 401


def test_a_token_that_may_only_read_writes_nothing(hub: HubServer, api: HfApi, alice: str):
    hub.add_user("me", token="hf_reader", role="read")
    head = hub.repo(alice).head.oid
    for call in (
        lambda: api.create_commit(alice, [add("a.txt", b"a")], commit_message="a", token="hf_reader"),
        lambda: api.create_tag(alice, tag="v1", token="hf_reader"),
        lambda: api.create_repo("me/bob", token="hf_reader"),
        lambda: api.delete_repo(alice, token="hf_reader"),
    ):
        with pytest.raises(HfHubHTTPError, match="write access") as error:
            call()
        assert status(error) == 403
    assert hub.repo(alice).head.oid == head
    assert list(hub.api.repos) == [alice]


def test_a_private_repository_looks_like_none(hub: HubServer, api: HfApi, alice: str):
    hub.add_user("eve", token="hf_eve")
    hub.repo(alice).private = True
    for token, expected in (("hf_eve", 404), (False, 401)):
        for name in (alice, "me/never-made"):
            with pytest.raises(RepositoryNotFoundError) as error:
                api.model_info(name, token=token)
            assert status(error) == expected
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(alice, "README.md", token=token)
        assert not list(api.list_models(token=token))
    assert [model.id for model in api.list_models()] == [alice]
    hub.repo(alice).readers.add("eve")
    assert api.model_info(alice, token="hf_eve").private


def test_a_gated_repository_shows_itself_but_not_its_files(hub: HubServer, api: HfApi, alice: str):
    hub.add_user("eve", token="hf_eve")
    api.update_repo_settings(alice, gated="manual")
    for token, expected, text in (("hf_eve", 403, "not in the authorized list"), (False, 401, "Please log in")):
        assert api.model_info(alice, token=token).gated == "manual"
        with pytest.raises(GatedRepoError, match=text) as error:
            hf_hub_download(alice, "model.safetensors", token=token)
        assert status(error) == expected
        with pytest.raises(GatedRepoError):
            api.auth_check(alice, token=token)
    assert Path(hf_hub_download(alice, "model.safetensors")).read_bytes() == WEIGHTS
    hub.repo(alice).readers.add("eve")
    api.auth_check(alice, token="hf_eve")
    assert [model.id for model in api.list_models(gated=True)] == [alice]
    assert not list(api.list_models(gated=False))


def test_settings_change_who_sees_it(hub: HubServer, api: HfApi, alice: str):
    api.update_repo_settings(alice, private=True)
    assert hub.repo(alice).private
    assert hub.repo(alice).gated is False
    api.update_repo_settings(alice, private=False, gated="auto")
    assert (hub.repo(alice).private, hub.repo(alice).gated) == (False, "auto")
    api.auth_check(alice, write=True)


# Commits


def test_a_commit_adds_small_and_large_files_and_deletes(hub: HubServer, api: HfApi, alice: str, tmp_path: Path):
    before = hub.repo(alice).head
    (tmp_path / "big.bin").write_bytes(WEIGHTS * 2)
    operations = [
        *(
            add("README.md", CARD + b"More.\n"),
            add("voices/bob.wav", WEIGHTS[:999]),
            add("big.bin", tmp_path / "big.bin"),
        ),
        *(CommitOperationDelete("heads/"), CommitOperationDelete("model.safetensors")),
    ]
    info = api.create_commit(alice, operations, commit_message="Bob", commit_description="instead of Alice")
    head = hub.repo(alice).head
    assert info.oid == head.oid != before.oid
    assert info.commit_url == f"{hub.endpoint}/{alice}/commit/{head.oid}"
    assert (head.message, head.description, head.parent, head.author) == ("Bob", "instead of Alice", before.oid, "me")
    files = {"README.md": CARD + b"More.\n", "voices/bob.wav": WEIGHTS[:999], "big.bin": WEIGHTS * 2}
    assert {path: data for path, data in head.files.items() if path != ".gitattributes"} == files
    assert [path for path, blob in sorted(head.blobs.items()) if blob.lfs] == ["big.bin", "voices/bob.wav"]
    assert before.files["model.safetensors"] == WEIGHTS


def test_a_folder_is_uploaded(hub: HubServer, api: HfApi, tmp_path: Path):
    (tmp_path / "run" / "heads").mkdir(parents=True)
    (tmp_path / "run" / "vczoo.yaml").write_text("format: 1\n")
    (tmp_path / "run" / "heads" / "voice.safetensors").write_bytes(WEIGHTS)
    api.create_repo("me/run")
    api.upload_folder(repo_id="me/run", folder_path=tmp_path / "run", delete_patterns="*.old")
    assert hub.repo("me/run").head.files["heads/voice.safetensors"] == WEIGHTS
    assert hub.repo("me/run").head.files["vczoo.yaml"] == b"format: 1\n"


def test_what_has_not_changed_is_not_committed(hub: HubServer, api: HfApi, alice: str):
    commits = len(hub.repo(alice).commits)
    operations = [add("README.md", CARD), add("model.safetensors", WEIGHTS)]
    assert api.create_commit(alice, operations, commit_message="Again").oid == hub.repo(alice).head.oid
    assert len(hub.repo(alice).commits) == commits
    assert not hub.seen("POST", "*/commit/*")
    assert not hub.seen("PUT")


def test_a_large_file_travels_once(hub: HubServer, api: HfApi, alice: str):
    for name in ("one.safetensors", "two.safetensors"):
        api.create_commit(alice, [add(name, b"\0" + WEIGHTS)], commit_message=name)
    assert len(hub.seen("PUT")) == 1
    assert hub.repo(alice).head.files["two.safetensors"] == b"\0" + WEIGHTS
    assert "authorization" not in hub.seen("PUT")[0].headers


def test_a_large_file_travels_in_parts(hub: HubServer, api: HfApi, alice: str):
    hub.api.part_bytes = 1000
    api.create_commit(alice, [add("parts.bin", WEIGHTS[:2500])], commit_message="In parts")
    assert len(hub.seen("PUT", "/uploads/*")) == 3
    assert hub.repo(alice).head.files["parts.bin"] == WEIGHTS[:2500]


def test_an_upload_that_is_not_what_was_announced_is_refused(hub: HubServer, api: HfApi, alice: str, tmp_path: Path):
    path = tmp_path / "model.bin"
    for content in (flipped(WEIGHTS), WEIGHTS[:-1]):
        path.write_bytes(WEIGHTS[1:])
        # The file changes after its SHA-256 was announced.
        hub.faults.add(Fault("POST", "*/objects/batch", before=lambda data=content: path.write_bytes(data)))
        with pytest.raises(RuntimeError, match=r"model\.bin") as error:
            api.create_commit(alice, [add("model.bin", path)], commit_message="Changing")
        assert "BadDigest" in str(error.value.__cause__)
    assert "model.bin" not in hub.repo(alice).head.files
    assert not hub.seen("POST", "*/commit/*")


def test_a_commit_is_all_or_nothing(hub: HubServer, api: HfApi, alice: str):
    head = hub.repo(alice).head.oid
    never_sent = add("new.safetensors", WEIGHTS + b"new")
    never_sent._upload_mode, never_sent._is_uploaded = "lfs", True
    operations = [add("a.txt", b"a"), CommitOperationDelete("README.md"), never_sent]
    with pytest.raises(BadRequestError, match=r"LFS pointer pointed to a file that does not exist.*new\.safetensors"):
        api.create_commit(alice, operations, commit_message="Half")
    assert hub.repo(alice).head.oid == head
    with pytest.raises(RemoteEntryNotFoundError, match="A file with this name doesn't exist"):
        api.create_commit(alice, [add("a.txt", b"a"), CommitOperationDelete("no.txt")], commit_message="Half")
    assert hub.repo(alice).head.oid == head


def test_a_commit_upon_another_than_the_head_is_refused(hub: HubServer, api: HfApi, alice: str):
    parent = hub.repo(alice).head.oid
    api.create_commit(alice, [add("a.txt", b"1")], commit_message="First", parent_commit=parent)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
        api.create_commit(alice, [add("a.txt", b"2")], commit_message="Second", parent_commit=parent)
    assert status(error) == 412
    assert hub.repo(alice).head.files["a.txt"] == b"1"
    short = hub.repo(alice).head.oid[:7]
    api.create_commit(alice, [add("a.txt", b"3")], commit_message="Third", parent_commit=short)


@pytest.mark.parametrize(
    ("front_matter", "text"),
    [
        (b"license: [mit", "Invalid YAML"),
        (b"license: my-own", '"license" must be one of .*apache-2.0'),
        (b"language: no", '"language" with value "False"'),
        (b"base_model: a/b/c", '"base_model" with value "a/b/c"'),
        (b"model-index:\n- name: a\n  results:\n  - task: {type: audio-to-audio}\n    metrics: []", "dataset.type"),
        (b"- a list", "must be a mapping"),
    ],
)
def test_a_card_with_wrong_metadata_is_refused(hub: HubServer, api: HfApi, alice: str, front_matter: bytes, text: str):
    with pytest.raises(ValueError, match=rf"(?s)Invalid metadata in README.md.*{text}"):
        api.create_commit(alice, [add("README.md", b"---\n" + front_matter + b"\n---\n")], commit_message="Card")
    # The commit itself checks it, too.
    hub.faults.add(Fault("POST", "/api/validate-yaml", status=200))
    with pytest.raises(BadRequestError, match="Invalid metadata"):
        api.create_commit(alice, [add("README.md", b"---\n" + front_matter + b"\n---\n")], commit_message="Card")


@pytest.mark.parametrize("card", [b"# No metadata\n", b"---\n---\n# Empty\n"])
def test_a_card_without_metadata_is_warned_of(api: HfApi, alice: str, card: bytes):
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.create_commit(alice, [add("README.md", card)], commit_message="Card")


def test_ignored_files_stay_behind(hub: HubServer, api: HfApi, alice: str):
    operations = [add(".gitignore", b"*.tmp\n# a comment\ncache/\n"), add("a.tmp", b"a"), add("cache/b/c.txt", b"b")]
    api.create_commit(alice, [*operations, add("kept.txt", b"c")], commit_message="Ignore")
    assert {"kept.txt", ".gitignore"} == set(hub.repo(alice).head.files) - set(hub.repo(alice).commits[-2].files)


def test_a_commit_needs_a_branch(api: HfApi, alice: str):
    with pytest.raises(RevisionNotFoundError, match="Invalid rev id: draft"):
        api.create_commit(alice, [add("a.txt", b"a")], commit_message="a", revision="draft")
    with pytest.raises(RepositoryNotFoundError):
        api.create_commit("me/no-such", [add("a.txt", b"a")], commit_message="a")


# Downloads


def test_files_are_found_by_branch_tag_and_commit(hub: HubServer, api: HfApi, alice: str):
    first = hub.repo(alice).head.oid
    api.create_tag(alice, tag="v1")
    hub.put(alice, {"README.md": b"# Second\n"})
    for revision in ("v1", first, first[:7], "refs/tags/v1"):
        assert Path(hf_hub_download(alice, "README.md", revision=revision)).read_bytes() == CARD
    assert api.resolve_revision(alice, revision="v1").resolved == first
    assert api.resolve_revision(alice).resolved == hub.repo(alice).head.oid
    assert Path(hf_hub_download(alice, "README.md")).read_bytes() == b"# Second\n"


def test_what_is_not_there_is_said(hub: HubServer, api: HfApi, alice: str):
    with pytest.raises(RevisionNotFoundError, match="Invalid rev id: v9"):
        hf_hub_download(alice, "README.md", revision="v9")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(alice, "README.md", revision="0" * 40)
    with pytest.raises(RemoteEntryNotFoundError) as error:
        hf_hub_download(alice, "no.txt")
    assert error.value.response.headers["X-Repo-Commit"] == hub.repo(alice).head.oid
    assert api.file_exists(alice, "README.md")
    assert not api.file_exists(alice, "no.txt")
    assert not api.revision_exists(alice, "v9")


def test_a_large_file_comes_from_storage_without_the_token(hub: HubServer, api: HfApi, alice: str):
    assert Path(hf_hub_download(alice, "heads/voice.safetensors")).read_bytes() == WEIGHTS[:1000]
    (head,), (get,) = hub.seen("HEAD", "*/voice.safetensors"), hub.seen("GET", "*/voice.safetensors")
    assert head.status == 302
    assert get.path.startswith("/storage/me/alice/")
    assert ("authorization" in head.headers, "authorization" in get.headers) == (True, False)
    # A small one comes from the Hub itself.
    hf_hub_download(alice, "README.md")
    assert "authorization" in hub.seen("GET", "*/README.md")[0].headers


def test_the_metadata_of_a_file(hub: HubServer, api: HfApi, alice: str):
    url = f"{hub.endpoint}/{alice}/resolve/main/"
    large, small = (api.get_hf_file_metadata(url=url + path) for path in ("model.safetensors", "README.md"))
    assert (large.size, large.etag) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert (small.size, small.etag) == (len(CARD), git_oid("blob", CARD))
    assert large.commit_hash == small.commit_hash == hub.repo(alice).head.oid


def test_a_snapshot_is_downloaded_once(hub: HubServer, api: HfApi, alice: str, tmp_path: Path):
    oid = hub.repo(alice).head.oid
    folder = Path(snapshot_download(alice))
    assert folder == tmp_path / "hf" / "hub" / "models--me--alice" / "snapshots" / oid
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == hub.repo(alice).head.files
    seen = len(hub.requests)
    assert Path(snapshot_download(alice, revision=oid)) == folder
    assert Path(snapshot_download(alice, allow_patterns="*.md")) == folder
    assert [(request.method, request.path) for request in hub.requests[seen:]] == [
        ("GET", "/api/models/me/alice/revision/main")
    ]


def test_a_range_of_a_file(hub: HubServer, alice: str):
    url = f"{hub.endpoint}/{alice}/resolve/main/README.md"
    for wanted, expected in (("bytes=5-9", CARD[5:10]), ("bytes=-4", CARD[-4:]), ("bytes=5-", CARD[5:])):
        answer = httpx2.get(url, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["Content-Range"] == f"bytes 5-{len(CARD) - 1}/{len(CARD)}"
    answer = httpx2.get(url, headers={"Range": f"bytes={len(CARD)}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(CARD)}")


# Listings


def test_models_are_searched(hub: HubServer, api: HfApi, alice: str):
    more = b"pipeline_tag: audio-to-audio\nlibrary_name: vczoo\nbase_model: openai/whisper-tiny.en\ndatasets: me/d\n"
    hub.put("choir/Bass-Voice", {"README.md": b"---\nlicense: cc-by-4.0\ntags: [vczoo]\n" + more + b"---\n"})
    hub.put("choir/plain", {"notes.txt": b"none"})
    hub.repo("choir/plain").downloads = 5
    hub.repo(alice).likes = 3

    def found(**search: object) -> list[str]:
        return [model.id for model in list_models(**search)]

    assert found() == ["choir/plain", "choir/Bass-Voice", "me/alice"]
    assert found(author="choir") == ["choir/plain", "choir/Bass-Voice"]
    assert found(search="bass") == ["choir/Bass-Voice"]
    assert found(filter="vczoo") == ["choir/Bass-Voice", "me/alice"]
    assert found(filter=["vczoo", "license:mit"]) == ["me/alice"]
    assert found(filter="en") == ["me/alice"]
    assert found(filter="base_model:openai/whisper-tiny.en") == ["choir/Bass-Voice"]
    assert found(filter="base_model:finetune:openai/whisper-tiny.en") == ["choir/Bass-Voice"]
    assert found(filter="dataset:me/d") == ["choir/Bass-Voice"]
    assert found(pipeline_tag="audio-to-audio") == ["choir/Bass-Voice"]
    assert found(sort="downloads", limit=1) == ["choir/plain"]
    assert found(sort="likes", limit=1) == ["me/alice"]
    hub.put(alice, {"b.txt": b"b"})
    assert found(sort="last_modified")[0] == "me/alice"
    assert found(sort="created_at")[0] == "choir/plain"
    with pytest.raises(BadRequestError, match="expected one of"):
        found(sort="beauty")


def test_models_come_in_pages(hub: HubServer, alice: str):
    for number in range(4):
        hub.put(f"me/voice-{number}", {"README.md": CARD})
    hub.api.page_entries = 2
    names = ["me/voice-3", "me/voice-2", "me/voice-1", "me/voice-0", "me/alice"]
    assert [model.id for model in list_models(filter=["vczoo", "license:mit"], author="me")] == names
    assert len(hub.seen("GET", "/api/models")) == 3
    assert [model.id for model in list_models(limit=3)] == names[:3]
    assert len(hub.seen("GET", "/api/models")) == 5


def test_what_a_search_tells(hub: HubServer, alice: str):
    (short,), (full,) = list_models(), list_models(full=True, cardData=True)
    assert short.tags == ["safetensors", "vczoo", "voice-conversion", "en", "de", "license:mit", "region:us"]
    assert (short.sha, short.siblings, short.card_data) == (None, None, None)
    assert (full.sha, full.author) == (hub.repo(alice).head.oid, "me")
    assert full.card_data.license == "mit"
    (sparse,) = list_models(expand=["sha", "lastModified"])
    assert (sparse.sha, sparse.tags) == (full.sha, None)
    assert sparse.last_modified == full.last_modified


def test_what_is_told_of_a_model(hub: HubServer, api: HfApi, alice: str):
    first = hub.repo(alice).head.oid
    hub.repo(alice).downloads = 7
    hub.put(alice, {"new.txt": b"new"})
    info = api.model_info(alice, files_metadata=True)
    assert (info.id, info.author, info.sha, info.private, info.gated) == (
        *(alice, "me"),
        *(hub.repo(alice).head.oid, False, False),
    )
    assert (info.downloads, info.likes, info.card_data.license) == (7, 0, "mit")
    assert abs((info.last_modified - hub.repo(alice).head.date).total_seconds()) < 0.001
    siblings = {file.rfilename: file for file in info.siblings}
    assert (siblings["new.txt"].size, siblings["new.txt"].blob_id) == (3, git_oid("blob", b"new"))
    assert siblings["model.safetensors"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert siblings["model.safetensors"].size == len(WEIGHTS)
    assert "new.txt" not in [file.rfilename for file in api.model_info(alice, revision=first).siblings]
    assert api.model_info(alice, expand=["sha"]).siblings is None


def test_a_tree_is_listed(hub: HubServer, api: HfApi, alice: str):
    first = hub.repo(alice).head
    hub.put(alice, {"heads/names.txt": b"alice\nbob\n"}, message="Bob")
    top = {entry.path: entry for entry in api.list_repo_tree(alice)}
    assert sorted(top) == [".gitattributes", "README.md", "heads", "model.safetensors"]
    assert top["heads"].tree_id == tree_oids(hub.repo(alice).head.blobs)["heads"]
    assert top["model.safetensors"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert [entry.path for entry in api.list_repo_tree(alice, "heads")] == [
        "heads/names.txt",
        "heads/voice.safetensors",
    ]
    assert set(api.list_repo_files(alice)) == set(first.files)
    last = {entry.path: entry.last_commit.title for entry in api.list_repo_tree(alice, recursive=True, expand=True)}
    assert (last["heads/names.txt"], last["heads"], last["README.md"]) == ("Bob", "Bob", "Alice's voice")
    assert last[".gitattributes"] == "initial commit"
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(alice, "tails"))


def test_a_tree_comes_in_pages(hub: HubServer, api: HfApi, alice: str):
    whole = [entry.path for entry in api.list_repo_tree(alice, recursive=True)]
    hub.api.page_entries = 2
    assert [entry.path for entry in api.list_repo_tree(alice, recursive=True)] == whole
    assert len(hub.seen("GET", "*/tree/main")) == 4


def test_some_paths_are_told_of(hub: HubServer, api: HfApi, alice: str):
    heads, weights = api.get_paths_info(alice, ["heads", "no.txt", "model.safetensors"], expand=True)
    assert (heads.path, heads.last_commit.title) == ("heads", "Alice's voice")
    assert (weights.size, weights.lfs.size) == (len(WEIGHTS), len(WEIGHTS))
    assert api.get_paths_info(alice, "README.md")[0].blob_id == git_oid("blob", CARD)


def test_tags_and_branches(hub: HubServer, api: HfApi, alice: str):
    first = hub.repo(alice).head.oid
    api.create_tag(alice, tag="v1.0")
    api.create_tag(alice, tag="v1.0", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="exists already") as error:
        api.create_tag(alice, tag="v1.0")
    assert status(error) == 409
    with pytest.raises(BadRequestError, match="Invalid git reference name"):
        api.create_tag(alice, tag="v 1")
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(alice, tag="v2", revision="nowhere")
    api.create_branch(alice, branch="work/draft")
    oid = api.create_commit(alice, [add("a", b"a")], commit_message="a", revision="work/draft").oid
    api.create_tag(alice, tag="v2", revision=oid[:7])
    refs = api.list_repo_refs(alice)
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1.0": first, "v2": oid}
    assert {ref.ref: ref.target_commit for ref in refs.branches} == {
        "refs/heads/main": first,
        "refs/heads/work/draft": oid,
    }
    assert Path(hf_hub_download(alice, "a", revision="work/draft")).read_bytes() == b"a"
    api.delete_tag(alice, tag="v2")
    api.delete_branch(alice, branch="work/draft")
    assert set(hub.repo(alice).refs) == {"refs/heads/main", "refs/tags/v1.0"}
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(alice, tag="v2")
    with pytest.raises(HfHubHTTPError, match="default branch"):
        api.delete_branch(alice, branch="main")


def test_commits_are_listed(hub: HubServer, api: HfApi, alice: str):
    hub.put(alice, {"a": b"a"}, message="Third")
    hub.api.page_entries = 2
    commits = api.list_repo_commits(alice)
    assert [commit.title for commit in commits] == ["Third", "Alice's voice", "initial commit"]
    assert [commit.commit_id for commit in commits] == [commit.oid for commit in reversed(hub.repo(alice).commits)]
    assert commits[0].authors == ["me"]


# Faults


def test_a_listing_is_asked_for_again(hub: HubServer, api: HfApi, alice: str):
    fault = hub.faults.add(Fault("GET", "*/tree/*", status=503, times=2))
    assert len(list(api.list_repo_tree(alice))) == 4
    assert (fault.hits, len(hub.seen("GET", "*/tree/*"))) == (2, 3)
    for_ever = hub.faults.add(Fault("GET", re.compile(r"/tree/\w+$"), status=500, times=None))
    with pytest.raises(HfHubHTTPError) as error:
        list(api.list_repo_tree(alice))
    assert (status(error), for_ever.hits) == (500, 6)
    hub.faults.clear()
    assert list(api.list_repo_tree(alice))


def test_too_many_requests(hub: HubServer, api: HfApi, alice: str):
    hub.faults.add(Fault("POST", "*/commit/*", status=429, headers={"Retry-After": "60"}, message="slow down"))
    with pytest.raises(HfHubHTTPError, match="slow down") as error:
        api.create_commit(alice, [add("a", b"a")], commit_message="a")
    assert (status(error), error.value.response.headers["Retry-After"]) == (429, "60")
    hub.faults.add(Fault("GET", "*/tree/*", status=429, headers={"Retry-After": "60"}))
    assert list(api.list_repo_tree(alice))


@pytest.mark.parametrize("drop", [False, True])
def test_a_commit_is_made_though_the_client_is_not_told(hub: HubServer, api: HfApi, alice: str, drop: bool):
    head = hub.repo(alice).head.oid
    hub.faults.add(Fault("POST", "*/commit/*", status=None if drop else 503, drop=drop, done=True))
    with pytest.raises((HfHubHTTPError, httpx2.RemoteProtocolError)):
        api.create_commit(alice, [add("a", b"a")], commit_message="a")
    assert hub.repo(alice).head.parent == head
    assert hub.repo(alice).head.files["a"] == b"a"
    assert hub.seen("POST", "*/commit/*")[0].status == (0 if drop else 503)


@pytest.mark.parametrize("drop", [False, True])
def test_a_commit_is_not_made(hub: HubServer, api: HfApi, alice: str, drop: bool):
    head = hub.repo(alice).head.oid
    hub.faults.add(Fault("POST", "*/commit/*", status=None if drop else 503, drop=drop))
    with pytest.raises((HfHubHTTPError, httpx2.RemoteProtocolError)):
        api.create_commit(alice, [add("a", b"a")], commit_message="a")
    assert hub.repo(alice).head.oid == head


def test_an_upload_fails_and_is_sent_again(hub: HubServer, api: HfApi, alice: str):
    hub.faults.add(Fault("PUT", "/uploads/*", status=500))
    hub.faults.add(Fault("PUT", "/uploads/*", drop=True))
    api.create_commit(alice, [add("b.bin", WEIGHTS[1:])], commit_message="b")
    assert [seen.status for seen in hub.seen("PUT")] == [500, 0, 200]
    assert hub.repo(alice).head.files["b.bin"] == WEIGHTS[1:]


def test_a_cut_download_goes_on_where_it_ended(hub: HubServer, alice: str, monkeypatch: pytest.MonkeyPatch):
    # The client keeps whole chunks alone, and its own are of 10 MB.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.faults.add(Fault("GET", "*/model.safetensors", cut_after=105_000))
    assert Path(hf_hub_download(alice, "model.safetensors")).read_bytes() == WEIGHTS
    first, second = hub.seen("GET", "*/model.safetensors")
    assert ("range" in first.headers, first.status) == (False, 200)
    assert (second.headers["range"], second.status) == ("bytes=100000-", 206)


def test_a_download_that_never_ends_well(hub: HubServer, alice: str, tmp_path: Path):
    fault = hub.faults.add(Fault("GET", "*/model.safetensors", cut_after=100, times=None))
    with pytest.raises(httpx2.RemoteProtocolError):
        hf_hub_download(alice, "model.safetensors")
    assert fault.hits == 6
    assert not list((tmp_path / "hf").rglob("*.incomplete"))


def test_bytes_are_wrong(hub: HubServer, alice: str):
    hub.faults.add(Fault("GET", "*/model.safetensors", change=flipped))
    assert Path(hf_hub_download(alice, "model.safetensors")).read_bytes() == flipped(WEIGHTS)
    hub.faults.add(Fault("GET", "*/voice.safetensors", change=lambda data: data[:-1]))
    with pytest.raises(OSError, match="should be of size 1000 but has size 999"):
        hf_hub_download(alice, "heads/voice.safetensors")


def test_bytes_are_slow(hub: HubServer, alice: str, monkeypatch: pytest.MonkeyPatch):
    hub.faults.add(Fault("GET", "*/voice.safetensors", delay_seconds=0.01, chunk_bytes=100))
    assert Path(hf_hub_download(alice, "heads/voice.safetensors")).read_bytes() == WEIGHTS[:1000]
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    fault = hub.faults.add(Fault("GET", "*/model.safetensors", delay_seconds=60, times=None))
    with pytest.raises(httpx2.ReadTimeout):
        hf_hub_download(alice, "model.safetensors")
    assert fault.hits


def test_a_token_runs_out(hub: HubServer, api: HfApi, alice: str):
    hub.faults.add(Fault("POST", "*/commit/*", before=lambda: hub.expire("hf_me")))
    with pytest.raises(RepositoryNotFoundError, match="is expired") as error:  # which is what the client makes of it
        api.create_commit(alice, [add("a", b"a")], commit_message="a")
    assert status(error) == 401


def test_somebody_else_was_faster(hub: HubServer, api: HfApi, alice: str):
    parent = hub.repo(alice).head.oid
    hub.faults.add(Fault("POST", "*/commit/*", before=lambda: hub.put(alice, {"b": b"b"}, message="Faster")))
    with pytest.raises(HfHubHTTPError) as error:
        api.create_commit(alice, [add("a", b"a")], commit_message="a", parent_commit=parent)
    assert status(error) == 412
    assert hub.repo(alice).head.message == "Faster"


def test_a_file_changes_behind_its_commit_s_back(hub: HubServer, api: HfApi, alice: str):
    oid = hub.repo(alice).head.oid
    hub.faults.add(Fault("HEAD", "*/README.md", before=lambda: hub.repo(alice).head.tamper("README.md", b"other")))
    assert Path(hf_hub_download(alice, "README.md", revision=oid)).read_bytes() == b"other"
    assert hub.repo(alice).head.oid == oid


def test_a_fault_is_either_of_the_request_or_of_the_body(hub: HubServer):
    for fault in (Fault(), Fault(status=500, cut_after=1)):
        with pytest.raises(ValueError, match="either status"):
            hub.faults.add(fault)


def test_an_unreachable_hub_is_not_waited_for(hub: HubServer, alice: str):
    hub.faults.add(Fault(status=502, times=None))
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download(alice)


# The server and the fixture themselves


def test_a_crash_is_told_at_the_end(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), HubServer() as hub, pointed_at(hub.endpoint, tmp_path):  # noqa: PT012
        hub.faults.add(Fault("GET", before=lambda: 1 / 0))
        assert httpx2.get(hub.endpoint + "/api/models").status_code == 500


def test_a_server_ends_with_clients_still_there():
    with httpx2.Client() as client:
        with HubServer() as hub:
            hub.put("me/alice", {"a.txt": b"a" * 1000})
            hub.faults.add(Fault("GET", "*/a.txt", delay_seconds=600, chunk_bytes=1))
            assert client.get(hub.endpoint + "/api/models").json()[0]["id"] == "me/alice"
            slow = client.build_request("GET", hub.endpoint + "/me/alice/resolve/main/a.txt")
            answer = client.send(slow, stream=True)
            assert answer.status_code == 200
        with pytest.raises(httpx2.RemoteProtocolError):
            answer.read()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(hub.endpoint)


def test_the_client_is_put_back(tmp_path: Path):
    from huggingface_hub import hf_api
    from huggingface_hub.utils import _cache_manager, _http

    def state() -> list[object]:
        values = [value for name, value in vars(constants).items() if name.isupper()]
        return [
            *values,
            hf_api.api.endpoint,
            _cache_manager.HF_HUB_CACHE,
            _http.time,
            _http.REPO_API_REGEX,
            *os.environ.items(),
        ]

    before = state()
    with pointed_at("http://127.0.0.1:1", tmp_path, "hf_me"):
        assert state() != before
        assert (hf_api.api.endpoint, constants.HF_HUB_CACHE) == ("http://127.0.0.1:1", str(tmp_path / "hub"))
    assert state() == before


def test_a_process_talks_to_it_too(hub: HubServer, alice: str):
    code = (
        "import huggingface_hub as h; "
        "print([m.id for m in h.list_models()], h.whoami()['name'], h.hf_hub_download('me/alice', 'README.md'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"['me/alice'] me {os.environ['HF_HOME']}")


def test_a_good_card_is_not_warned_of(api: HfApi, alice: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        api.create_commit(alice, [add("README.md", CARD + b"more")], commit_message="Card")
