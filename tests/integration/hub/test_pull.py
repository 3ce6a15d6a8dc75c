"""Pulling: one commit, every file checked, nothing trusted; and what each fault of network or repository ends in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vczoo
from tests.support.hub.faults import flipped
from tests.support.hub.server import Fault, HubServer
from vczoo.errors import HubError, PluginError, RunError, UnknownNameError
from vczoo.hub.name import HubName, is_hub_name
from vczoo.hub.pull import pull
from vczoo.hub.search import describe_speaker, search
from vczoo.io.tensors import fingerprint
from vczoo.runs.run_folder import load_run

NAME = "me/trio"
FILES = ("vczoo.yaml", "model.safetensors", "voices.safetensors", "metrics.json")


@pytest.fixture
def speaker(hub: HubServer, trained_folder: Path) -> HubServer:
    """A Hub with the speaker me/trio, tagged v1."""
    vczoo.load(trained_folder).push_to_hub(NAME, license="cc-by-4.0", consent="synthetic", tag="v1", languages=["en"])
    hub.requests.clear()
    return hub


def change(hub: HubServer, **files: bytes) -> str:
    """Commit other contents for some files: model_safetensors=…"""
    return hub.put(NAME, {path.replace("_", "."): content for path, content in files.items()}, message="changed")


def cache_of(hub: HubServer) -> set[str]:
    from huggingface_hub import constants

    return {path.name for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file() or path.is_symlink()}


def test_a_speaker_comes_back_as_it_was(speaker: HubServer, trained_folder: Path, voices_folder: Path) -> None:
    for name in (NAME, "me/trio@v1", "me/trio@main", f"me/trio@{speaker.repo(NAME).head.oid}"):
        pulled = vczoo.load(name)
        local = vczoo.load(trained_folder)
        assert fingerprint(pulled.model.state_dict()) == fingerprint(local.model.state_dict())
        assert pulled.run.revision == f"me/trio@{speaker.repo(NAME).head.oid[:12]}"
        source = voices_folder / "bob" / "1.wav"
        for voice in local.voices:
            assert torch.equal(pulled.convert(source, voice).samples, local.convert(source, voice).samples)


def test_the_revision_is_resolved_once_and_only_the_runs_files_are_read(speaker: HubServer) -> None:
    speaker.put(NAME, {"hubconf.py": b"raise SystemExit", "extra.bin": b"x" * 1000, "README.md": b"another"})
    vczoo.load(NAME)
    read = [path for method, path, *_ in speaker.requests if "/resolve/" in path and method == "GET"]
    assert {path.rpartition("/")[2] for path in read} <= set(FILES)
    assert all(speaker.repo(NAME).head.oid in path for path in read)
    assert len(speaker.seen("GET", "/api/models/me/trio/revision/*") + speaker.seen("GET", "/api/models/me/trio")) == 1


def test_a_second_load_asks_for_the_revision_alone_and_a_full_commit_for_nothing(speaker: HubServer) -> None:
    vczoo.load(NAME)
    speaker.requests.clear()
    vczoo.load(NAME)
    assert len(speaker.requests) == 1
    speaker.requests.clear()
    vczoo.load(f"me/trio@{speaker.repo(NAME).head.oid}")
    assert speaker.requests == []


def test_a_download_is_counted_once_and_an_old_run_without_the_file_loads(speaker: HubServer) -> None:
    vczoo.load(NAME)
    vczoo.load(NAME)
    assert [seen.status for seen in speaker.seen("HEAD", "*/config.json")] == [200]
    assert not speaker.seen("GET", "*/config.json")
    speaker.requests.clear()
    speaker.put(NAME, {"README.md": b"another"}, delete=("config.json",))
    assert vczoo.load(NAME).voices == ("alice", "bob", "carol")
    assert [seen.status for seen in speaker.seen("HEAD", "*/config.json")] == [404]


def test_a_tag_stays_while_the_branch_moves(speaker: HubServer, run_folder: Path, voices_folder: Path) -> None:
    converter = vczoo.load(run_folder)
    converter.enroll("dave", voices_folder / "bob" / "0.wav")
    converter.push_to_hub(NAME, license="cc-by-4.0", consent="synthetic")
    assert vczoo.load("me/trio@v1").voices == ("alice", "bob", "carol")
    assert vczoo.load(NAME).voices == ("alice", "bob", "carol", "dave")


def test_offline_what_was_pulled_is_there_and_the_rest_is_not(
    speaker: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vczoo.load("me/trio@v1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    speaker.requests.clear()
    assert vczoo.load("me/trio@v1").voices == ("alice", "bob", "carol")
    assert speaker.requests == []
    with pytest.raises(HubError, match=r"me/other is not in the cache.*HF_HUB_OFFLINE.*vczoo pull me/other"):
        vczoo.load("me/other")


def test_without_a_network_what_was_pulled_is_there(speaker: HubServer) -> None:
    vczoo.load(NAME)
    speaker.faults.add(Fault("*", "*", drop=True, times=None))
    assert vczoo.load(NAME).voices == ("alice", "bob", "carol")
    with pytest.raises(HubError, match="cannot be reached"):
        vczoo.load("me/other")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("me/nobody", "has no repository me/nobody that you can see. Check the name; if the repository is private"),
        ("me/trio@v9", "me/trio has no branch, tag or commit 'v9'"),
        ("me/empty", "is not a vczoo run: it has no vczoo.yaml"),
        ("me/half", "is incomplete: model.safetensors"),
    ],
)
def test_what_is_not_there_is_named(speaker: HubServer, name: str, message: str) -> None:
    files = speaker.repo(NAME).head.files
    speaker.put("me/empty", {"README.md": b"nothing"})
    speaker.put("me/half", {path: files[path] for path in ("vczoo.yaml", "voices.safetensors", "metrics.json")})
    with pytest.raises(HubError, match=message):
        vczoo.load(name)


def test_a_gated_and_a_private_speaker_say_what_to_do(speaker: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path: speaker.repo(NAME).head.files[path] for path in FILES}
    speaker.put("me/gated", files, gated=True)
    speaker.put("me/private", files, private=True)
    speaker.add_user("eve", token="hf_eve")
    monkeypatch.setenv("HF_TOKEN", "hf_eve")
    with pytest.raises(HubError, match=r"me/gated is gated: ask for access at .*/me/gated"):
        vczoo.load("me/gated")
    with pytest.raises(HubError, match="if the repository is private, your token has no access to it"):
        vczoo.load("me/private")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="hf auth login"):
        vczoo.load("me/private")
    speaker.repo("me/gated").readers.add("eve")
    monkeypatch.setenv("HF_TOKEN", "hf_eve")
    assert len(vczoo.load("me/gated").voices) == 3
    speaker.expire("hf_eve")
    with pytest.raises(HubError, match="wrong or has expired"):
        vczoo.load("me/gated@main")


# Faults of the network.


def test_a_cut_download_goes_on_where_it_was(speaker: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    size = len(speaker.repo(NAME).head.files["model.safetensors"])
    speaker.faults.add(Fault("GET", "*/model.safetensors", cut_after=size // 2))
    assert vczoo.load(NAME).voices == ("alice", "bob", "carol")
    ranged = [headers for _, _, _, headers in speaker.seen("GET", "*/model.safetensors") if "range" in headers]
    assert ranged


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 500, "times": None}, "the Hub returned HTTP status 500|cannot be reached"),
        ({"cut_after": 100, "times": None}, "cannot be reached|cannot be used"),
    ],
)
def test_a_download_that_never_succeeds_leaves_nothing_behind(speaker: HubServer, fault: dict, message: str) -> None:
    speaker.faults.add(Fault("GET", "*/model.safetensors", **fault))
    with pytest.raises(HubError, match=message):
        vczoo.load(NAME)
    assert "model.safetensors" not in cache_of(speaker)
    speaker.faults.clear()
    assert len(vczoo.load(NAME).voices) == 3


@pytest.mark.parametrize("path", FILES)
def test_wrong_bytes_are_noticed_and_not_kept(speaker: HubServer, path: str) -> None:
    speaker.faults.add(Fault("GET", f"*/{path}", change=flipped))
    with pytest.raises(HubError, match=rf"{path} is damaged or was tampered with.*removed from the cache. Pull again"):
        vczoo.load(NAME)
    assert path not in cache_of(speaker)
    assert len(vczoo.load(NAME).voices) == 3


def test_a_file_that_changes_between_two_reads_is_noticed(speaker: HubServer) -> None:
    """The repository's files change at one and the same commit, once its configuration was read."""
    head = speaker.repo(NAME).head
    other = head.files["model.safetensors"][:-4] + b"\0\0\0\0"
    speaker.faults.add(
        Fault("GET", "*/model.safetensors", before=lambda *_: head.tamper("model.safetensors", other), times=None)
    )
    with pytest.raises(HubError, match=r"model\.safetensors is damaged or was tampered with"):
        vczoo.load(NAME)
    assert "model.safetensors" not in cache_of(speaker)


def test_another_model_under_the_same_configuration_is_noticed(speaker: HubServer) -> None:
    """What the Hub says of the file holds, what vczoo.yaml says does not."""
    files = speaker.repo(NAME).head.files
    change(speaker, model_safetensors=files["model.safetensors"][:-4] + b"\0\0\0\0")
    with pytest.raises(HubError, match=r"does not match its checksum in vczoo.yaml.*contact the publisher"):
        vczoo.load(NAME)


def test_what_is_damaged_in_the_cache_goes_and_comes_again(speaker: HubServer) -> None:
    folder = pull(NAME).folder
    blob = (folder / "model.safetensors").resolve()
    blob.write_bytes(flipped(blob.read_bytes()))
    with pytest.raises(HubError, match=r"model.safetensors was damaged in the cache.*load the run again"):
        vczoo.load(NAME)
    assert len(vczoo.load(NAME).voices) == 3


def test_files_that_are_too_large_are_not_downloaded(speaker: HubServer) -> None:
    change(speaker, model_safetensors=b"\0" * 40_000_000)
    speaker.requests.clear()
    with pytest.raises(HubError, match=r"model.safetensors has 40000000 bytes, but at most \d+ are possible"):
        vczoo.load(NAME)
    assert not speaker.seen("GET", "*/model.safetensors")


def test_a_plugin_that_is_absent_is_named_before_any_weights_come(speaker: HubServer) -> None:
    text = speaker.repo(NAME).head.files["vczoo.yaml"].decode()
    for name, message in (
        ("vczoo-timm-nightly", "find out who publishes it before you install it"),
        ("vczoo-nemo", r"needs the plugin 'vczoo-nemo' \(1.0\), which is not installed"),
    ):
        change(speaker, vczoo_yaml=text.replace("plugins: {}", f"plugins: {{{name}: '1.0'}}").encode())
        speaker.requests.clear()
        with pytest.raises(PluginError, match=message):
            vczoo.load(NAME)
        assert not speaker.seen("GET", "*/model.safetensors")


# Names, and what becomes of a pulled run.


@pytest.mark.parametrize("text", ["a/b", "a-1/b.c_d", "a/b@v1", "a/b@refs/pr/1", "a/b@" + "0" * 40])
def test_names_of_the_hub(text: str) -> None:
    assert is_hub_name(text)
    assert str(HubName.parse(text)) == text


@pytest.mark.parametrize("text", ["a", "a/b/c", "../b", "a/..", "a/b@", "a/b@../x", "a/b@-x", "a b/c", "á/b", "a/b\n"])
def test_what_is_no_name_of_the_hub(text: str) -> None:
    assert not is_hub_name(text)
    with pytest.raises(HubError, match="is not the name of a run on the Hub"):
        HubName.parse(text)


def test_a_folder_and_a_speaker_of_one_name_are_told_apart(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "me" / "trio").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=r"write ./me/trio for the folder, or me/trio@main for the Hub"):
        vczoo.load(NAME)


def test_pull_copies_a_run_that_can_be_worked_on(speaker: HubServer, tmp_path: Path, voices_folder: Path) -> None:
    pulled = pull("me/trio@v1", tmp_path / "mine")
    assert pulled.commit == speaker.repo(NAME).head.oid
    assert {path.name for path in (tmp_path / "mine").iterdir()} == set(FILES)
    converter = vczoo.load(tmp_path / "mine")
    converter.enroll("dave", voices_folder / "bob" / "0.wav")
    converter.save(tmp_path / "mine", overwrite=True)
    assert load_run(tmp_path / "mine").licence == "cc-by-4.0"
    with pytest.raises(RunError, match="mine already exists"):
        pull(NAME, tmp_path / "mine")
    assert not list(tmp_path.glob(".*"))


def test_a_pulled_speaker_is_tuned_to_another_voice(speaker: HubServer, tmp_path: Path, voices_folder: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "eve").symlink_to(voices_folder / "alice")
    made = vczoo.finetune(
        NAME, tmp_path / "data", tmp_path / "run", ["training.epochs=1"], rehearse=False, progress=False
    )
    assert made.voices == ("eve",)
    assert made.run.licence == "cc-by-4.0"  # whose terms it is still under


def test_search_finds_by_words_base_and_language(speaker: HubServer, trained_folder: Path) -> None:
    other = vczoo.load(trained_folder)
    other.push_to_hub("me/quartet", license="mit", consent="synthetic", languages=["ko"])
    speaker.put("me/gpt", {"README.md": b"---\ntags: [text-generation]\n---\n"})
    assert {found.name for found in search()} == {"me/trio", "me/quartet"}
    assert [found.name for found in search("quart")] == ["me/quartet"]
    assert [found.name for found in search(language="ko")] == ["me/quartet"]
    assert {found.name for found in search(base="mel-conv")} == {"me/trio", "me/quartet"}
    assert search(base="wavlm") == []
    assert len(search(limit=1)) == 1
    (found,) = search("trio")
    assert (found.recipe, found.licence, found.languages) == ("demo", "cc-by-4.0", ("en",))


def test_info_tells_all_but_downloads_no_weights(speaker: HubServer) -> None:
    told = describe_speaker("me/trio@v1")
    assert told["commit"] == speaker.repo(NAME).head.oid
    assert (told["licence"], told["consent"], told["voices"]) == ("cc-by-4.0", "synthetic", ["alice", "bob", "carol"])
    assert told["megabytes"]["model.safetensors"] > 0
    assert not [path for method, path, *_ in speaker.requests if method == "GET" and path.endswith(".safetensors")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pull", NAME], "commit"),
        (["info", NAME], "consent: synthetic"),
        (["info", NAME], "voices: alice, bob, carol"),
        (["info", NAME], f"vczoo convert {NAME} SOURCE.wav --voice alice"),
        (["info", NAME, "--json"], '"consent": "synthetic"'),
        (["search", "trio"], "me/trio"),
        (["verify", NAME], "every tensor is accounted for"),
        (["show", NAME], "`vczoo info me/trio`"),
        (["search", "nobody"], "no published run matches"),
        (["enroll", NAME, "dave", "x.wav"], "use --out to save the run to a new folder"),
    ],
)
def test_commands(speaker: HubServer, arguments: list[str], told: str) -> None:
    done = subprocess.run([sys.executable, "-m", "vczoo", *arguments], capture_output=True, text=True, check=False)
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_loading_imports_nothing_that_the_repository_names(speaker: HubServer, tmp_path: Path) -> None:
    """A repository full of modules, under names that would be imported if anything of it were."""
    evil = f"open({str(tmp_path / 'was-here')!r}, 'w')\n".encode()
    names = ("hubconf", "modeling_vczoo", "vczoo_evil", "conftest", "usercustomize", "configuration_demo")
    speaker.put(NAME, {f"{name}.py": evil for name in names})
    pull(NAME)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import sys, vczoo; vczoo.load(sys.argv[1])", NAME],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert "vczoo.hub.pull" in imported
    assert not imported & set(names)
    assert not (tmp_path / "was-here").exists()
