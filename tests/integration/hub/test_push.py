"""Publishing: what is sent is whole, once, and nothing but what was asked for; what goes wrong loses nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

import vczoo
from tests.support.hub.server import Fault, HubServer
from vczoo.conversion.converter import Converter
from vczoo.errors import HubError, LicenceError
from vczoo.hub import commit as pushing
from vczoo.io.plain_yaml import parse_plain

NAME = "me/trio"
TERMS = {"license": "cc-by-4.0", "consent": "synthetic"}
ESSENTIAL = {"README.md", "config.json", "vczoo.yaml", "model.safetensors", "voices.safetensors", "metrics.json"}


@pytest.fixture
def converter(trained_folder: Path) -> Converter:
    return vczoo.load(trained_folder)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "PAUSES_SECONDS", (0.0, 0.0, 0.0))


def published_files(hub: HubServer, name: str = NAME) -> set[str]:
    return set(hub.repo(name).head.files) - {".gitattributes"}


@pytest.mark.parametrize("terminal", [False, True])
def test_bars_are_drawn_on_terminals_only(
    hub: HubServer, converter: Converter, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    disabled = []
    create = pushing.HfApi.create_commit

    def watched(*arguments: object, **options: object) -> object:
        disabled.append(pushing.are_progress_bars_disabled())
        return create(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pushing.HfApi, "create_commit", watched)
    monkeypatch.setattr(pushing.sys.stderr, "isatty", lambda: terminal)
    converter.push_to_hub(NAME, **TERMS)
    assert disabled == [not terminal]
    assert not pushing.are_progress_bars_disabled()


def test_a_run_is_published_in_one_commit(hub: HubServer, converter: Converter, trained_folder: Path) -> None:
    published = converter.push_to_hub(NAME, **TERMS, tag="v1", languages=["en"], message="First")
    repo = hub.repo(NAME)
    assert published.commit == repo.head.oid
    assert str(published.name) == "me/trio@v1"
    assert [commit.message for commit in repo.commits][-1] == "First"
    assert len(repo.commits) == 2  # with the Hub's own first one
    assert published_files(hub) == ESSENTIAL | ({"curves.png"} if (trained_folder / "curves.png").is_file() else set())
    assert repo.head.files["model.safetensors"] == (trained_folder / "model.safetensors").read_bytes()
    config = parse_plain(repo.head.files["vczoo.yaml"].decode(), "there")
    assert (config["licence"], config["consent"]) == ("cc-by-4.0", "synthetic")
    assert json.loads(repo.head.files["config.json"]) == {
        "library_name": "vczoo",
        "model_type": "vczoo",
        "recipe": converter.recipe.name,
        "vczoo_version": vczoo.__version__,
    }
    card = repo.head.files["README.md"].decode()
    assert 'vczoo.load("me/trio@v1")' in card
    assert "synthetic" in card
    assert {"vczoo", "voice-conversion", "license:cc-by-4.0", "en"} <= set(vczoo_tags(hub))
    assert not repo.private
    assert {path: len(content) for path, content in repo.head.files.items() if path in published.files} == dict(
        published.files
    )


def test_a_run_in_half_precision_is_published_in_full(hub: HubServer, converter: Converter, tmp_path: Path) -> None:
    half = vczoo.load(converter.save(tmp_path / "half", half=True))
    half.push_to_hub(NAME, **TERMS)
    pulled = vczoo.load(NAME)
    expected = half.model.tensors()
    assert all(tensor.equal(expected[name]) for name, tensor in pulled.model.tensors().items())
    assert all(check.state == "ok" for check in vczoo.verify(NAME))


def test_terms_of_a_start_pass_on(
    hub: HubServer, converter: Converter, small: tuple[str, ...], voices_folder: Path, tmp_path: Path
) -> None:
    converter.run.licence = "cc-by-nc-4.0"
    start = converter.save(tmp_path / "start")
    made = vczoo.load("demo", [*small, f"start={start}"])
    made.enroll("alice", voices_folder / "alice" / "0.wav", overwrite=True)
    with pytest.raises(LicenceError, match="the run that it was made from"):
        made.push_to_hub(NAME, **TERMS)
    made.push_to_hub(NAME, license="cc-by-nc-4.0", consent="own-voice")
    assert "start" not in parse_plain(hub.repo(NAME).head.files["vczoo.yaml"].decode(), "there")["recipe"]


def vczoo_tags(hub: HubServer) -> list[str]:
    from huggingface_hub import HfApi

    return list(HfApi().model_info(NAME).tags or ())


def test_nothing_of_the_recordings_or_of_this_machine_is_sent(
    hub: HubServer, converter: Converter, trained_folder: Path, voices_folder: Path
) -> None:
    assert str(voices_folder) in (trained_folder / "manifest.jsonl").read_text()
    converter.push_to_hub(NAME, **TERMS)
    sent = b"".join(hub.repo(NAME).head.files.values())
    assert str(voices_folder).encode() not in sent
    assert str(trained_folder).encode() not in sent
    assert not [path for path in published_files(hub) if path.endswith((".wav", ".jsonl"))]


def test_samples_are_converted_and_marked(hub: HubServer, converter: Converter, voices_folder: Path, tmp_path) -> None:
    converter.push_to_hub(NAME, **TERMS, samples=[voices_folder / "alice" / "0.wav"])
    files = hub.repo(NAME).head.files
    names = sorted(path for path in files if path.startswith("samples/"))
    assert names == ["samples/1.wav", "samples/2.wav", "samples/3.wav"]  # one a voice
    (tmp_path / "1.wav").write_bytes(files["samples/1.wav"])
    mark = vczoo.read_mark(tmp_path / "1.wav")
    assert mark is not None
    assert mark.voice == converter.voices[0]
    assert soundfile.info(tmp_path / "1.wav").duration == pytest.approx(
        soundfile.info(voices_folder / "alice" / "0.wav").duration, abs=0.01
    )
    assert files["README.md"].decode().count("<audio") == 3
    assert f"{hub.endpoint}/me/trio/resolve/main/samples/1.wav" in files["README.md"].decode()
    # A later version without them takes them away, in its one commit.
    published = converter.push_to_hub(NAME, **TERMS)
    assert published.removed == tuple(names)
    assert not [path for path in published_files(hub) if path.startswith("samples/")]


def test_a_dry_run_shows_every_file_and_sends_nothing(hub: HubServer, converter: Converter) -> None:
    published = converter.push_to_hub(NAME, **TERMS, dry_run=True)
    assert set(published.files) >= ESSENTIAL
    assert all(size > 0 for size in published.files.values())
    assert published.commit == ""
    assert hub.requests == []


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"license": "cc-by-5.0"}, LicenceError, "not on the Hub's list"),
        ({"consent": "he said so"}, LicenceError, "own-voice"),
        ({"license": "mit", "consent": "public-dataset:fsdd"}, LicenceError, "CC-BY-SA-4.0"),
        ({"data_license": "cc-by-nc-4.0"}, LicenceError, "recordings"),
    ],
)
def test_terms_that_do_not_hold_are_refused_before_anything_is_sent(
    hub: HubServer, converter: Converter, changes: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        converter.push_to_hub(NAME, **{**TERMS, **changes})
    assert hub.requests == []


@pytest.mark.parametrize(
    "name", ["trio", "me/../trio", "me/trio/x", "me/trio@v1", "/me/trio", "me/tri o", "mé/trio", ""]
)
def test_a_name_that_is_none_is_refused(hub: HubServer, converter: Converter, name: str) -> None:
    with pytest.raises(HubError, match=r"is not the name of a run on the Hub|includes a revision"):
        converter.push_to_hub(name, **TERMS)
    assert hub.requests == []


def test_what_has_no_voice_is_not_published(hub: HubServer, small: tuple[str, ...]) -> None:
    with pytest.raises(HubError, match="demo has no voice yet: fine-tune it"):
        vczoo.load("demo", small).push_to_hub(NAME, **TERMS)
    assert hub.requests == []


def test_offline_nothing_is_published(hub: HubServer, converter: Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="cannot be published while HF_HUB_OFFLINE"):
        converter.push_to_hub(NAME, **TERMS)
    assert hub.requests == []


def test_voices_that_hold_frames_are_not_published_unless_asked_for(
    hub: HubServer, voices_folder: Path, small: tuple[str, ...]
) -> None:
    overrides = [item for item in small if "speaker" not in item and "voice" not in item]
    converter = vczoo.load("demo-knn", [item for item in overrides if not item.startswith("training")])
    converter.enroll("alice", voices_folder / "alice" / "0.wav")
    with pytest.raises(HubError, match=r"frame by frame \(voice.acoustic, voice.keys\).*share-frames"):
        converter.push_to_hub(NAME, **TERMS)
    assert hub.requests == []
    converter.push_to_hub(NAME, **TERMS, share_frames=True)
    assert vczoo.load(NAME).voices == ("alice",)


def test_a_private_speaker_stays_private(hub: HubServer, converter: Converter) -> None:
    converter.push_to_hub(NAME, **TERMS, private=True)
    assert hub.repo(NAME).private
    hub.put("me/public", {"README.md": b"hello"})
    before = hub.repo("me/public").head.oid
    with pytest.raises(HubError, match=r"me/public is public; make it private at .*settings"):
        converter.push_to_hub("me/public", **TERMS, private=True)
    assert hub.repo("me/public").head.oid == before


def test_a_repository_of_something_else_is_left_alone(hub: HubServer, converter: Converter) -> None:
    hub.put(NAME, {"README.md": b"my GPT", "pytorch_model.bin": b"..."})
    with pytest.raises(HubError, match=r"is not a vczoo run: it contains .*pytorch_model.bin"):
        converter.push_to_hub(NAME, **TERMS)
    assert published_files(hub) == {"README.md", "pytorch_model.bin"}


def test_a_tag_is_given_once(hub: HubServer, converter: Converter) -> None:
    first = converter.push_to_hub(NAME, **TERMS, tag="v1")
    with pytest.raises(HubError, match=r"already has a tag 'v1' \(all tags: v1\)"):
        converter.push_to_hub(NAME, **TERMS, tag="v1", message="again")
    assert hub.repo(NAME).head.oid == first.commit


# Faults of the network, and what became of each.


def test_a_commit_that_fails_for_a_while_is_made_once(hub: HubServer, converter: Converter) -> None:
    hub.faults.add(Fault("POST", "*/commit/*", status=503, times=2))
    published = converter.push_to_hub(NAME, **TERMS)
    assert hub.repo(NAME).head.oid == published.commit
    assert len(hub.repo(NAME).commits) == 2


@pytest.mark.parametrize("fault", [{"status": 502, "done": True}, {"drop": True, "done": True}])
def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub: HubServer, converter: Converter, fault: dict) -> None:
    hub.faults.add(Fault("POST", "*/commit/*", **fault))
    published = converter.push_to_hub(NAME, **TERMS)
    assert hub.repo(NAME).head.oid == published.commit
    assert len(hub.repo(NAME).commits) == 2
    assert len(hub.seen("POST", "*/commit/*")) == 1


def test_a_commit_that_never_succeeds_publishes_nothing(hub: HubServer, converter: Converter) -> None:
    converter.push_to_hub(NAME, **TERMS)
    before = hub.repo(NAME).head.oid
    hub.faults.add(Fault("POST", "*/commit/*", status=500, times=None))
    with pytest.raises(HubError, match="the Hub returned HTTP status 500"):
        converter.push_to_hub(NAME, license="mit", consent="own-voice")
    assert hub.repo(NAME).head.oid == before
    assert vczoo.load(NAME).voices == converter.voices


@pytest.mark.parametrize("times", ["before", "between"])
def test_a_lost_race_says_so_and_loses_nothing(hub: HubServer, converter: Converter, times: str) -> None:
    converter.push_to_hub(NAME, **TERMS)

    def meanwhile(*_: object) -> None:
        hub.put(NAME, {"NOTES.md": b"of somebody else"}, message="meanwhile")

    if times == "before":
        hub.faults.add(Fault("POST", "*/commit/*", before=meanwhile))
    else:  # the first try dies, and before the second somebody commits
        hub.faults.add(Fault("POST", "*/commit/*", status=503, before=meanwhile))
    with pytest.raises(HubError, match="somebody else pushed to this repository in the meantime, so nothing"):
        converter.push_to_hub(NAME, license="mit", consent="own-voice")
    files = hub.repo(NAME).head.files
    assert files["NOTES.md"] == b"of somebody else"
    assert b"licence: cc-by-4.0" in files["vczoo.yaml"]


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "PUT", "path": "*", "status": 503},
        {"method": "POST", "path": "*/info/lfs/objects/batch", "status": 500},
        {"method": "POST", "path": "/api/repos/create", "status": 503},
        {"method": "POST", "path": "/api/repos/create", "status": 503, "done": True},
        {"method": "GET", "path": "/api/models/me/trio/tree/*", "status": 503},
        {"method": "POST", "path": "*/tag/*", "status": 503},
        {"method": "POST", "path": "*/tag/*", "status": 503, "done": True},
        {"method": "POST", "path": "*/commit/*", "status": 429},
    ],
    ids=lambda fault: " ".join(str(value) for value in fault.values()),
)
def test_what_passes_is_waited_for(hub: HubServer, converter: Converter, fault: dict) -> None:
    where = Fault(fault.pop("method"), fault.pop("path"), **fault)
    hub.faults.add(where)
    published = converter.push_to_hub(NAME, **TERMS, tag="v1")
    assert where.hits == 1
    repo = hub.repo(NAME)
    assert repo.head.oid == published.commit
    assert vczoo.load("me/trio@v1").voices == converter.voices


def test_a_tag_that_cannot_be_given_leaves_what_was_published(hub: HubServer, converter: Converter) -> None:
    hub.faults.add(Fault("POST", "*/tag/*", status=500, times=None))
    with pytest.raises(HubError, match=r"published as commit [0-9a-f]{40}, but without the tag 'v1'. Push again"):
        converter.push_to_hub(NAME, **TERMS, tag="v1")
    commits = len(hub.repo(NAME).commits)
    hub.faults.clear()
    converter.push_to_hub(NAME, **TERMS, tag="v1")
    assert vczoo.load("me/trio@v1").voices == converter.voices
    assert len(hub.repo(NAME).commits) <= commits + 1


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda hub, patch: hub.expire("hf_me"), "rejected your token.*wrong or has expired.*hf auth login"),
        (lambda hub, patch: patch.delenv("HF_TOKEN"), "not logged in.*hf auth login"),
        (
            lambda hub, patch: (hub.add_user("eve", token="hf_eve", role="read"), patch.setenv("HF_TOKEN", "hf_eve")),
            "has no permission to write to it",
        ),
    ],
    ids=["expired", "no token", "read only"],
)
def test_who_may_not_write_is_told_why(
    hub: HubServer, converter: Converter, monkeypatch: pytest.MonkeyPatch, arrange: Callable, message: str
) -> None:
    arrange(hub, monkeypatch)
    with pytest.raises(HubError, match=message):
        converter.push_to_hub(NAME, **TERMS)


def test_a_licence_passes_on_to_what_is_made_from_it(hub: HubServer, converter: Converter, voices_folder: Path) -> None:
    converter.push_to_hub(NAME, license="cc-by-nc-4.0", consent="own-voice")
    again = vczoo.load(NAME)
    with pytest.raises(LicenceError, match="the run that it was made from"):
        again.push_to_hub("me/second", license="cc-by-4.0", consent="own-voice")
    again.push_to_hub("me/second", license="cc-by-nc-4.0", consent="own-voice")
    assert re.search(r"^license: cc-by-nc-4.0$", hub.repo("me/second").head.files["README.md"].decode(), re.M)
