"""What a published run was made from, whose consent it rests on and how it was measured: from training to the card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vczoo
from tests.support.hub.server import HubServer
from vczoo.errors import LicenceError
from vczoo.runs.run_folder import load_run

TERMS = {"license": "cc-by-sa-4.0", "consent": "written-consent"}


def card_of(hub: HubServer, name: str) -> str:
    return hub.repo(name).head.files["README.md"].decode()


def test_a_voice_tuned_from_the_bundled_model_says_so_through_push_pull_and_push(
    hub: HubServer, voices_folder: Path, tmp_path: Path
) -> None:
    overrides = ["training.epochs=1", "training.crop_seconds=0.64"]
    tuned = vczoo.finetune(
        "base-partialfreeze", voices_folder, tmp_path / "run", overrides, progress=False, cache=False
    )
    assert [ancestor.name for ancestor in load_run(tmp_path / "run").lineage] == ["base"]
    commit = tuned.push_to_hub("me/first", **TERMS).commit
    card = card_of(hub, "me/first")
    assert "It began with the weights of <code>base</code>, the model bundled with vczoo" in card
    assert "LibriSpeech" in card.partition("## License")[2]
    assert "| backbone | <code>content-whisper</code> | weights of <code>base</code>" in card

    vczoo.load("me/first").push_to_hub("me/second", **TERMS)
    card = card_of(hub, "me/second")
    assert f"It began with the weights of [me/first](<{hub.endpoint}/me/first>) at commit" in card
    assert "base_model:\n- me/first" in card
    assert "LibriSpeech" in card.partition("## License")[2]
    second = vczoo.load("me/second").run
    assert [(a.name, a.revision) for a in second.lineage[1:2]] == [("me/first", commit)]
    assert [a.name for a in second.lineage] == ["me/second", "me/first", "base"]


def test_a_pulled_copy_keeps_its_origin_and_its_recorded_consent(
    hub: HubServer, trained_folder: Path, voices_folder: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    commit = vczoo.load(trained_folder).push_to_hub("me/trio", license="cc-by-4.0", consent="written-consent").commit
    vczoo.pull("me/trio", tmp_path / "theirs")
    copy = vczoo.load(tmp_path / "theirs")
    (origin,) = copy.run.lineage
    assert (origin.kind, origin.name, origin.revision) == ("hub", "me/trio", commit)
    assert all(check.state == "ok" for check in vczoo.verify(tmp_path / "theirs"))
    requests = len(hub.requests)
    for statement in ("own-voice", "synthetic"):
        with pytest.raises(LicenceError, match=f"published as me/trio@{commit[:12]}: 'written-consent'"):
            copy.push_to_hub("me/mine", license="cc-by-4.0", consent=statement)
    assert len(hub.requests) == requests
    copy.push_to_hub("me/mine", license="cc-by-4.0", consent="written-consent")
    assert f"[me/trio](<{hub.endpoint}/me/trio>) at commit <code>{commit[:12]}</code>" in card_of(hub, "me/mine")

    # A run that keeps the old voices keeps what was stated about them; one with only new voices does not.
    epoch = ["training.epochs=1"]
    kept = vczoo.finetune(tmp_path / "theirs", voices_folder, tmp_path / "kept", epoch, progress=False)
    fresh = vczoo.finetune(
        tmp_path / "theirs", voices_folder, tmp_path / "fresh", epoch, rehearse=False, progress=False
    )
    assert (kept.run.consent, fresh.run.consent) == ("written-consent", "")
    assert [a.name for a in load_run(tmp_path / "fresh").lineage] == ["demo", "me/trio"]


def test_an_evaluation_reaches_the_card(hub: HubServer, run_folder: Path) -> None:
    figure = {"value": 0.8123, "low": 0.79, "high": 0.83, "count": 6}
    systems = [{"system": "demo", "role": "system", "figures": {"similarity_to_target": figure}, "notes": []}]
    evaluation = {"format": 1, "setup": {"trials": "trials.csv", "trial_count": 6}, "systems": systems, "notes": []}
    (run_folder / "evaluation").mkdir()
    (run_folder / "evaluation" / "metrics.json").write_text(json.dumps(evaluation))
    vczoo.load(run_folder).push_to_hub("me/trio", license="cc-by-4.0", consent="synthetic")
    card = card_of(hub, "me/trio")
    assert "On 6 trials of <code>trials.csv</code>." in card
    assert "0.812" in card
    assert "were not measured" not in card
    assert "metric: speaker_similarity" in card or "type: speaker_similarity" in card
