from __future__ import annotations

import json
import os
import shutil
import tempfile
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vczoo.data.corpus import Corpus, Skipped, Utterance
from vczoo.data.corpus_reader import read_corpus
from vczoo.data.manifest import Listed
from vczoo.data.splits import assign_splits
from vczoo.errors import CorpusError


@pytest.fixture
def voices(voices_folder: Path, tmp_path: Path) -> Path:
    """A copy of the three speakers' folder that a test may change."""
    return shutil.copytree(voices_folder, tmp_path / "voices")


def splits_of(corpus: Corpus) -> dict[str, str]:
    return {f"{u.speaker}/{u.path.name}": u.split for u in corpus.utterances}


def write_manifest(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def csv_of(folder: Path, **split: str) -> Path:
    rows = [
        f"{path.relative_to(folder).as_posix()},{path.parent.name},{split.get(path.stem, '')}"
        for path in sorted(folder.glob("*/*.wav"))
    ]
    return write_manifest(folder / "data.csv", "path,speaker,split", *rows)


# Folders


def test_a_folder_gives_speakers_utterances_and_splits(voices_folder) -> None:
    corpus = read_corpus(voices_folder)
    assert corpus.speakers == ("alice", "bob", "carol")
    assert len(corpus.utterances) == 18
    assert corpus.skipped == ()
    for speaker in corpus.speakers:
        splits = [utterance.split for utterance in corpus.of_speaker(speaker)]
        assert sorted(splits) == ["test", *["train"] * 4, "validation"]
    assert len(corpus.split("train")) == 12
    assert all(u.path.is_absolute() and 0.5 < u.seconds < 1.3 for u in corpus.utterances)
    total = sum(utterance.seconds for utterance in corpus.utterances)
    assert sum(corpus.seconds_by_speaker().values()) == pytest.approx(total)
    assert list(corpus.seconds_by_speaker()) == list(corpus.speakers)
    paths = [(u.speaker, str(u.path)) for u in corpus.utterances]
    assert paths == sorted(paths)


def test_an_unknown_split_is_refused(voices_folder) -> None:
    with pytest.raises(CorpusError, match="one of train, validation, test, got 'valid'"):
        read_corpus(voices_folder).split("valid")  # type: ignore[arg-type]


def test_a_relative_path_is_made_absolute(voices, monkeypatch) -> None:
    monkeypatch.chdir(voices.parent)
    assert read_corpus("voices") == read_corpus(voices)


def test_nested_folders_and_suffixes_of_any_case_are_read(voices, tone) -> None:
    tone(voices / "alice" / "day2" / "morning" / "x.FLAC")
    (voices / "bob" / "0.wav").rename(voices / "bob" / "0.WAV")
    corpus = read_corpus(voices)
    assert len(corpus.of_speaker("alice")) == 7
    assert len(corpus.of_speaker("bob")) == 6


def test_hidden_files_and_other_files_are_passed_over(voices, tone) -> None:
    before = read_corpus(voices)
    tone(voices / ".trash" / "x.wav")
    tone(voices / "alice" / ".x.wav")
    tone(voices / "alice" / ".old" / "x.wav")
    (voices / "alice" / "notes.txt").write_text("hello")
    (voices / "README.md").write_text("hello")
    assert read_corpus(voices) == before


def test_stray_recordings_and_empty_folders_are_skipped_with_the_layout(voices, tone) -> None:
    stray = tone(voices / "stray.wav")
    (voices / "dave").mkdir()
    (voices / "dave" / "a.txt").write_bytes(b"x")
    corpus = read_corpus(voices)
    assert corpus.speakers == ("alice", "bob", "carol")
    reasons = {skipped.path: skipped.reason for skipped in corpus.skipped}
    assert set(reasons) == {stray, voices / "dave"}
    assert all("<folder>/<speaker>/" in reason for reason in reasons.values())


def test_a_flat_folder_is_refused_with_the_layout(tmp_path, tone) -> None:
    tone(tmp_path / "a.wav")
    with pytest.raises(
        CorpusError, match=r"no recording in .*<folder>/<speaker>/[\s\S]*a\.wav: it belongs to no speaker"
    ):
        read_corpus(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "no such folder, manifest or recording"),
        ("a.txt", r"a folder, a \.csv or a \.jsonl manifest, or a recording was expected"),
    ],
)
def test_what_is_neither_folder_nor_manifest_is_refused(tmp_path, name, message) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(CorpusError, match=message):
        read_corpus(tmp_path / name)


def test_an_empty_folder_and_an_empty_list_are_refused(tmp_path) -> None:
    with pytest.raises(CorpusError, match="no recording in"):
        read_corpus(tmp_path)
    with pytest.raises(CorpusError, match="no recording in an empty list"):
        read_corpus([])


# Damaged recordings


def test_damaged_recordings_are_skipped_with_their_reasons(voices) -> None:
    (voices / "alice" / "empty.wav").write_bytes(b"")
    (voices / "alice" / "text.wav").write_text("not audio, but long enough to be looked at")
    whole = (voices / "bob" / "0.wav").read_bytes()
    (voices / "bob" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    corpus = read_corpus(voices)
    assert len(corpus.utterances) == 18
    assert [(skipped.path.name, skipped.reason.split(",")[0].split(" (")[0]) for skipped in corpus.skipped] == [
        ("empty.wav", "the file is empty"),
        ("text.wav", "not a sound file that libsndfile or FFmpeg can read"),
        ("cut.wav", "truncated"),
    ]
    assert "3 skipped:" in corpus.report()


def test_a_speaker_with_nothing_usable_is_an_error_with_reasons(voices) -> None:
    for number in range(12):
        (voices / "dave" / f"{number:02d}.wav").parent.mkdir(exist_ok=True)
        (voices / "dave" / f"{number:02d}.wav").write_bytes(b"")
    (voices / "alice" / "bad.wav").write_bytes(b"")
    with pytest.raises(CorpusError) as caught:
        read_corpus(voices)
    text = str(caught.value)
    assert "no usable recording of 'dave'" in text
    assert text.count("the file is empty") == 10
    assert "and 2 more" in text
    assert "alice" not in text


# Speakers


@pytest.mark.parametrize("names", [("Eve", "eve"), ("Zoe\u0301", "Zo\u00e9"), ("STRASSE", "straße")])
def test_names_that_differ_in_case_or_form_alone_are_refused(tmp_path, tone, names) -> None:
    for name in names:
        for number in range(3):
            tone(tmp_path / name / f"{number}.wav")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system does not tell them apart")
    with pytest.raises(CorpusError) as caught:
        read_corpus(tmp_path)
    assert all(ascii(name) in str(caught.value) for name in names)


def test_unicode_names_are_composed(tmp_path, tone) -> None:
    for name in ("Zoe\u0301", "李雷"):
        for number in range(3):
            tone(tmp_path / name / f"{number}.wav")
    assert read_corpus(tmp_path).speakers == ("Zo\u00e9", "李雷")


@pytest.mark.parametrize("name", ["a\tb", "a\\b", "a\x7fb"])
def test_names_that_could_not_be_files_are_refused(tmp_path, tone, name) -> None:
    tone(tmp_path / name / "a.wav")
    with pytest.raises(CorpusError, match=r"holds a (backslash|control character).*; rename the folder"):
        read_corpus(tmp_path)


# Splits


def test_too_few_utterances_names_every_speaker_and_the_number_needed(voices) -> None:
    for number in range(2, 6):
        (voices / "alice" / f"{number}.wav").unlink()
    for number in range(1, 6):
        (voices / "carol" / f"{number}.wav").unlink()
    with pytest.raises(CorpusError) as caught:
        read_corpus(voices)
    text = str(caught.value)
    assert "'alice' has 2, 3 are needed; 'carol' has 1, 3 are needed" in text
    assert "bob" not in text
    assert "set a share to 0" in text
    assert len(read_corpus(voices, validation=0, test=0).split("train")) == 9


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ((0.1, 0.1), (4, 1, 1)),
        ((0, 0.1), (5, 0, 1)),
        ((0, 0), (6, 0, 0)),
        ((0.5, 0.3), (1, 3, 2)),
        ((0.01, 0), (5, 1, 0)),
    ],
)
def test_shares_of_six_utterances(voices_folder, shares, counts) -> None:
    corpus = read_corpus(voices_folder, validation=shares[0], test=shares[1])
    alice = [utterance.split for utterance in corpus.of_speaker("alice")]
    assert tuple(alice.count(name) for name in ("train", "validation", "test")) == counts


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (float("nan"), 0.1), (0.1, 2)])
def test_shares_that_leave_no_training_are_refused(voices_folder, shares) -> None:
    with pytest.raises(CorpusError, match="must be shares of at least 0 with a sum below 1"):
        read_corpus(voices_folder, validation=shares[0], test=shares[1])


def test_splits_do_not_depend_on_where_the_folder_lies(voices_folder, tmp_path) -> None:
    elsewhere = shutil.copytree(voices_folder, tmp_path / "b" / "other name")
    assert splits_of(read_corpus(elsewhere)) == splits_of(read_corpus(voices_folder))
    assert read_corpus(elsewhere).fingerprint() == read_corpus(voices_folder).fingerprint()


def test_splits_are_the_same_on_every_machine() -> None:
    listed = [Listed(Path(f"/x/{n}.wav"), "alice", f"{n}.wav", None, "x") for n in range(10)]
    held_out = {p.path.stem: s for p, s in assign_splits(listed, 0.2, 0.1).items() if s != "train"}
    # sha256sum of "alice/0.wav" to "alice/9.wav", sorted: 3 and 8 come first, then 6.
    assert held_out == {"3": "validation", "8": "validation", "6": "test"}


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    files=st.dictionaries(NAMES, st.integers(3, 25), min_size=2, max_size=4),
    shares=st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)),
    random=st.randoms(use_true_random=False),
)
def test_a_speakers_splits_depend_on_neither_order_nor_other_speakers(files, shares, random) -> None:
    listed = [
        Listed(Path(f"/x/{speaker}/{n}.wav"), speaker, f"{n}.wav", None, "x")
        for speaker, count in files.items()
        for n in range(count)
    ]
    together = assign_splits(random.sample(listed, len(listed)), *shares)
    for speaker, count in files.items():
        own = [item for item in listed if item.speaker == speaker]
        alone = assign_splits(own, *shares)
        assert {item: together[item] for item in own} == alone
        chosen = list(alone.values())
        assert chosen.count("validation") == (max(1, round(shares[0] * count)) if shares[0] else 0)
        assert chosen.count("test") == (max(1, round(shares[1] * count)) if shares[1] else 0)
        assert "train" in chosen


def test_splits_of_a_decomposed_file_name_are_those_of_the_composed() -> None:
    def splits(form: str) -> list[str]:
        names = [unicodedata.normalize(form, f"é{n}.wav") for n in range(20)]
        listed = [Listed(Path("/x") / name, "a", name, None, "x") for name in names]
        return list(assign_splits(listed, 0.3, 0.3).values())

    assert splits("NFD") == splits("NFC")


# Manifests


def test_a_manifest_gives_the_splits_of_its_folder(voices) -> None:
    wanted = splits_of(read_corpus(voices))
    manifest = csv_of(voices)
    (voices / "data.csv").write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())  # as a spreadsheet saves it
    corpus = read_corpus(manifest)
    assert corpus.speakers == ("alice", "bob", "carol")
    assert set(splits_of(corpus)) == set(wanted)
    assert [u.path for u in corpus.utterances] == [u.path for u in read_corpus(voices).utterances]


def test_splits_that_a_manifest_gives_stay(voices) -> None:
    corpus = read_corpus(csv_of(voices, **{"0": "test", "1": "test", "2": "validation"}))
    for speaker in corpus.speakers:
        by_name = {u.path.stem: u.split for u in corpus.of_speaker(speaker)}
        assert by_name == {"0": "test", "1": "test", "2": "validation", "3": "train", "4": "train", "5": "train"}


def test_a_speaker_without_training_is_refused(voices) -> None:
    with pytest.raises(CorpusError, match="every recording is marked for validation or test; mark some for train"):
        read_corpus(csv_of(voices, **{str(n): "test" for n in range(6)}))


def test_too_few_without_a_split_is_refused(voices) -> None:
    manifest = csv_of(voices, **{str(n): "train" for n in range(5)})
    with pytest.raises(CorpusError, match="'alice' has 1 without a split, 2 are needed"):
        read_corpus(manifest)


def test_jsonl_round_trip(voices, tmp_path) -> None:
    (voices / "alice" / "0.wav").rename(voices / "alice" / 'é, "0".wav')
    corpus = read_corpus(voices, validation=0.2)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(corpus.to_jsonl(), encoding="utf-8")
    again = read_corpus(manifest)
    assert again == corpus
    assert again.fingerprint() == corpus.fingerprint()
    assert set(json.loads(corpus.to_jsonl().splitlines()[0])) == {"path", "speaker", "split"}


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_file_name_that_is_not_utf8_survives(voices, tmp_path) -> None:
    odd = os.fsdecode(os.fsencode(voices / "alice") + b"/\xff.wav")
    try:
        (voices / "alice" / "0.wav").rename(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    corpus = read_corpus(voices)
    assert Path(odd) in {utterance.path for utterance in corpus.utterances}
    (tmp_path / "m.jsonl").write_text(corpus.to_jsonl(), encoding="utf-8")
    assert read_corpus(tmp_path / "m.jsonl") == corpus
    Path(odd).write_bytes(b"")
    assert "\\udcff.wav: the file is empty" in read_corpus(voices).report()


def test_all_faults_of_a_manifest_are_told_with_their_lines(voices) -> None:
    manifest = write_manifest(
        voices / "data.jsonl",
        '{"path": "alice/0.wav", "speaker": "alice"}',
        "{broken",
        "",
        '["alice/1.wav", "alice"]',
        '{"path": "alice/1.wav", "speaker": ""}',
        '{"path": "alice/1.wav", "speaker": "a/b"}',
        '{"path": "alice/1.wav", "speaker": "alice", "split": "half"}',
        '{"path": "gone.wav", "speaker": "alice"}',
        '{"path": "alice/1.wav", "speaker": 7}',
        '{"speaker": "alice"}',
        '{"path": "alice/1.wav", "speaker": ".."}',
    )
    with pytest.raises(CorpusError) as caught:
        read_corpus(manifest)
    text = str(caught.value)
    for part in (
        "9 faults",
        "line 2: not JSON",
        "line 4: expected {",
        "line 5: speaker: the name is empty",
        "line 6: speaker: the name 'a/b' holds a slash",
        "line 7: split is 'half', expected train, validation, test or nothing",
        "line 8: no such file: ",
        "line 9: speaker must be text, got 7",
        "line 10: no path",
        "line 11: speaker: the name '..' has only dots",
    ):
        assert part in text
    assert "line 1:" not in text
    assert "line 3:" not in text


def test_missing_files_are_listed_up_to_ten(voices) -> None:
    manifest = write_manifest(voices / "data.csv", "path,speaker", *(f"gone{n}.wav,alice" for n in range(14)))
    with pytest.raises(CorpusError) as caught:
        read_corpus(manifest)
    assert str(caught.value).count("no such file") == 10
    assert "and 4 more" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path;speaker\na.wav;alice\n", r"no column path and speaker, got path;speaker; .*separated by commas"),
        (b"path\na.wav\n", "no column speaker, got path"),
        (b"", "no column path and speaker, got nothing"),
        (b"path,speaker\na,b.wav,alice,train\n", "line 2: more fields than columns"),
        (b'path,speaker\n"a.wav,alice\n', "1 fault;[\\s\\S]*line 2: not CSV"),
        (b"path,speaker\na.wav,alice\nb.wav,Zo\xe9\n", "line 3: not UTF-8"),
        (b"path,speaker\n", "no recording in"),
    ],
)
def test_malformed_csv_is_refused(tmp_path, content, message) -> None:
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_corpus(tmp_path / "data.csv")


def test_a_path_listed_twice_is_kept_once_and_its_split_counts(voices) -> None:
    rows = [f"alice/{n}.wav,alice," for n in range(6)]
    corpus = read_corpus(
        write_manifest(voices / "d.csv", "path,speaker,split", *rows, "alice/../alice/3.wav,alice,test")
    )
    assert len(corpus.utterances) == 6
    assert splits_of(corpus)["alice/3.wav"] == "test"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("alice/0.wav,bob,train", r"0\.wav: speaker is 'alice' \(.*line 2\) and 'bob' \(.*line 3\)"),
        ("alice/0.wav,alice,test", r"0\.wav: split is 'train' \(.*line 2\) and 'test' \(.*line 3\)"),
    ],
)
def test_a_path_with_two_speakers_or_splits_is_refused(voices, second, message) -> None:
    manifest = write_manifest(voices / "d.csv", "path,speaker,split", "alice/0.wav,alice,train", second)
    with pytest.raises(CorpusError, match=message):
        read_corpus(manifest)


# Several sources


def test_a_list_is_read_together_before_it_is_split(voices, tmp_path, tone) -> None:
    for number in range(2):  # too few by themselves
        tone(tmp_path / "more" / "alice" / f"new{number}.wav")
    for number in range(3):
        tone(tmp_path / "more" / "dave" / f"{number}.wav")
    before = splits_of(read_corpus(voices))
    corpus = read_corpus([voices, tmp_path / "more"])
    assert corpus.speakers == ("alice", "bob", "carol", "dave")
    assert len(corpus.of_speaker("alice")) == 8
    assert {k: v for k, v in splits_of(corpus).items() if k[:3] in ("bob", "car")} == {
        k: v for k, v in before.items() if k[:3] in ("bob", "car")
    }
    assert read_corpus([tmp_path / "more", voices]) == corpus
    assert read_corpus([voices, voices]) == read_corpus(voices)


def utterance(name: str, speaker: str = "alice", split: str = "train") -> Utterance:
    return Utterance(Path("/data") / name, speaker, split, 60.0)  # type: ignore[arg-type]


def test_merge_keeps_this_ones_splits() -> None:
    mine = Corpus((utterance("0.wav", split="test"), utterance("1.wav")))
    other = Corpus((utterance("0.wav"), utterance("1.wav", split="validation"), utterance("2.wav")))
    merged = mine.merge(other)
    assert [u.split for u in merged.utterances] == ["test", "train", "train"]
    assert [u.path.name for u in merged.utterances] == ["0.wav", "1.wav", "2.wav"]


def test_merge_joins_what_was_skipped() -> None:
    mine = Corpus((utterance("0.wav"),), (Skipped(Path("/data/1.wav"), "empty"), Skipped(Path("/data/2.wav"), "cut")))
    other = Corpus((utterance("2.wav"),), (Skipped(Path("/data/1.wav"), "empty"), Skipped(Path("/data/3.wav"), "NaN")))
    assert [skipped.path.name for skipped in mine.merge(other).skipped] == ["1.wav", "3.wav"]


def test_merge_refuses_two_speakers_of_one_path_and_names_alike() -> None:
    mine = Corpus((utterance("0.wav"),))
    with pytest.raises(CorpusError, match=r"0\.wav: speaker is 'alice' in one corpus and 'bob' in the other"):
        mine.merge(Corpus((utterance("0.wav", "bob"),)))
    with pytest.raises(CorpusError, match="'Alice' and 'alice'"):
        mine.merge(Corpus((utterance("1.wav", "Alice"),)))


# What is said of it


def test_fingerprint_sees_content_split_and_speaker(voices) -> None:
    corpus = read_corpus(voices)
    base = corpus.fingerprint()
    assert len(base) == 64
    assert read_corpus(voices, validation=0.3).fingerprint() != base
    (voices / "alice" / "0.wav").rename(voices / "alice" / "zero.wav")
    renamed = [Utterance(voices / "alice" / "zero.wav", "alice", u.split, 1.0) for u in corpus.utterances[:1]]
    assert Corpus((*corpus.utterances[1:], *renamed)).fingerprint() == base
    with pytest.raises(CorpusError, match=r"0\.wav: cannot be read any more .*; read the corpus again"):
        corpus.fingerprint()
    (voices / "bob").rename(voices / "robert")
    assert read_corpus(voices).fingerprint() != base
    content = bytearray((voices / "carol" / "1.wav").read_bytes())
    before = read_corpus(voices).fingerprint()
    content[-1] ^= 1
    (voices / "carol" / "1.wav").write_bytes(content)
    assert read_corpus(voices).fingerprint() != before


def test_report_is_for_people() -> None:
    utterances = (utterance("0.wav"), utterance("1.wav", split="test"), utterance("2.wav", "bob"))
    corpus = Corpus(utterances, tuple(Skipped(Path(f"/data/x{n}.wav"), "silent throughout") for n in range(12)))
    lines = corpus.report().splitlines()
    assert lines[0] == "2 speakers, 3 utterances, 3.0 minutes (2 train, 0 validation, 1 test)"
    assert lines[1:3] == ["  alice: 2.0 minutes", "  bob: 1.0 minutes"]
    assert lines[3] == "12 skipped:"
    assert lines[4] == f"  {Path('/data/x0.wav')}: silent throughout"
    assert lines[-1] == "and 2 more"
    assert len(lines) == 15


def test_real_speech(shared) -> None:
    corpus = read_corpus(shared / "data" / "vctk-mini")
    assert corpus.speakers == ("p225", "p226", "p227", "p228")
    assert corpus.skipped == ()
    assert 240 < sum(corpus.seconds_by_speaker().values()) < 320
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "m.jsonl"
        manifest.write_text(corpus.to_jsonl())
        assert read_corpus(manifest) == corpus


def test_fewer_minutes_are_among_more_wherever_the_files_lie(voices: Path, tmp_path: Path) -> None:
    whole = read_corpus(voices)
    parts = [whole.within(minutes, seed=3) for minutes in (0.02, 0.04, 0.06, 10)]
    sets = [set(part.split("train")) for part in parts]
    for less, more in pairwise(sets):
        assert less <= more
    assert sets[0] < sets[2]
    assert parts[-1] == whole
    for part, minutes in zip(parts, (0.02, 0.04, 0.06, 10), strict=True):
        assert part.split("validation") == whole.split("validation")
        assert part.split("test") == whole.split("test")
        assert part.speakers == whole.speakers
        assert all(0 < seconds <= 60 * minutes for seconds in part.training_seconds().values())
    moved = shutil.copytree(voices, tmp_path / "elsewhere")
    again = read_corpus(moved).within(0.04, seed=3)
    assert splits_of(again) == splits_of(parts[1])
    others = {frozenset(splits_of(whole.within(0.04, seed)).items()) for seed in range(8)}
    assert len(others) > 1


@pytest.mark.parametrize(
    ("minutes", "told"), [(0, "number above 0"), (float("nan"), "number above 0"), (0.001, "alice's")]
)
def test_minutes_that_hold_nothing_are_refused(voices: Path, minutes: float, told: str) -> None:
    with pytest.raises(CorpusError, match=told):
        read_corpus(voices).within(minutes)


def test_training_seconds_are_of_training_alone(voices: Path) -> None:
    corpus = read_corpus(csv_of(voices, **{"0": "validation", "1": "test"}), validation=0, test=0)
    whole, training = corpus.seconds_by_speaker(), corpus.training_seconds()
    for speaker in corpus.speakers:
        held_out = sum(u.seconds for u in corpus.of_speaker(speaker) if u.split != "train")
        assert training[speaker] == pytest.approx(whole[speaker] - held_out)
