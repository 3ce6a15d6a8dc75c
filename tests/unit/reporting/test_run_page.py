"""The report of a run: what is in each section, what is missing without recordings, and that it is one safe file."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
import soundfile

import vczoo
from tests.support.html_page import Element, parse_page
from vczoo.errors import CorpusError, RunError, VczooError
from vczoo.reporting.write import write_report
from vczoo.runs.run import MANIFEST

LARGEST = 5_000_000  # bytes


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, made_run: Path) -> Path:
    return write_report(made_run, tmp_path_factory.mktemp("page") / "a.html")


@pytest.fixture(scope="module")
def page(written: Path) -> Element:
    return parse_page(written.read_text(encoding="utf-8"))


@pytest.fixture
def bare(run_folder: Path) -> Path:
    """A run whose recordings are unknown, so that nothing has to be converted."""
    (run_folder / MANIFEST).unlink()
    return run_folder


def test_the_page_is_small_and_refers_to_nothing_outside(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert written.stat().st_size < LARGEST
    assert written.stat().st_mode & 0o077 == 0  # it has recordings of people
    assert "default-src 'none'" in text
    assert not [word for word in ("url(http", "url('", "@import", "//fonts", "<script") if word in text]


def test_the_folder_of_a_run_gets_the_file_and_a_later_one_replaces_it(bare: Path) -> None:
    path = vczoo.write_report(bare)
    assert path == bare / "report.html"
    text = path.read_text(encoding="utf-8")
    assert write_report(bare).read_text(encoding="utf-8") == text


def test_every_section_is_there_and_linked(page: Element) -> None:
    titles = [heading.text for heading in page.all("h2")]
    assert titles == [
        "Listen",
        "Before and after",
        "How close it comes",
        "Training",
        "What it recognizes",
        "Map of the voices",
        "Recordings",
        "Recipe",
        "Provenance and license",
    ]
    assert [link.text for link in page.all("nav")[0].all("a")] == titles
    assert page.all("h1")[0].text == "run"
    assert "converts speech to 3 voices and tells 3 speakers apart" in page.text


def test_recordings_play(page: Element) -> None:
    players = page.named("listen").all("audio")
    assert players
    assert all("preload" in player.attributes for player in players)
    names = [player.attributes["aria-label"] for player in players]
    assert {name.partition(" ")[0].rstrip(":") for name in names} == {"Source", "As", "Real"}
    for player in players[:3]:
        kind, _, content = player.attributes["src"].partition(",")
        samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(content)))
        assert kind == "data:audio/mpeg;base64"
        assert rate_hz == 24_000
        assert 0.4 < len(samples) / rate_hz < 5.2
    assert "Share it only with their consent" in page.text


def test_a_conversion_is_played_with_its_mark(page: Element, tmp_path: Path) -> None:
    converted = next(a for a in page.named("listen").all("audio") if a.attributes["aria-label"].startswith("As "))
    file = tmp_path / "a.mp3"
    file.write_bytes(base64.b64decode(converted.attributes["src"].partition(",")[2]))
    mark = vczoo.read_mark(file)
    assert mark is not None
    assert mark.voice == converted.attributes["aria-label"].removeprefix("As ")


def test_mels_and_pitch_are_drawn(page: Element) -> None:
    mels, contours = page.named("pictures").all("svg")
    assert {"time in s", "mel band", "level in dB"} <= {text.text for text in mels.all("text")}
    assert len(mels.all("image")) >= 3
    assert {"F0 in Hz", "time in s"} <= {text.text for text in contours.all("text")}


def test_floor_and_ceiling_are_measured_by_its_own_head_and_said_so(page: Element) -> None:
    section = page.named("figures")
    assert "its own speaker head compares" in section.text
    assert [row[0] for row in section.rows] == ["system", "unconverted source", "this run", "real target"]
    assert all("±" in cell for row in section.rows[1:] for cell in row[1:3])


def test_the_heads_confusions_are_counted(page: Element) -> None:
    section = page.named("recognition")
    assert section.rows[0] == ["speaker", "recordings", "named correctly", "most often taken for"]
    assert [row[0] for row in section.rows[1:]] == ["alice", "bob", "carol"]
    assert "with a 95% interval from" in section.text
    assert "Confusion matrix of the head speaker" in section.all("svg")[0].attributes["aria-label"]


def test_the_map_names_the_voices(page: Element) -> None:
    texts = [text.text for text in page.named("speakers").all("text")]
    assert {"alice", "bob", "carol"} <= set(texts)
    assert "principal components" in page.named("speakers").text


def test_the_recordings_are_counted(page: Element) -> None:
    rows = page.named("data").rows
    assert rows[0] == ["speaker", "minutes", "train", "validation", "test"]
    assert all(sum(map(int, row[2:])) == 6 for row in rows[1:])


def test_the_recipe_and_the_origin_are_there(page: Element) -> None:
    recipe, origin = page.named("recipe"), page.named("provenance")
    assert ["backbone", "mel-conv", "none"] in recipe.rows
    assert "crop_seconds: 0.64" in recipe.all("pre")[0].text
    assert ["license", "none yet: it was never shared"] in origin.rows
    assert ["consent", "none recorded"] in origin.rows
    assert "It was trained from random weights." in origin.text


def test_a_run_that_was_not_trained_says_so(page: Element) -> None:
    assert page.named("training").text == "Training This run was not fine-tuned, so it has no curves."


def test_curves_and_figures_of_a_fine_tune(bare: Path) -> None:
    converter = vczoo.load(bare)
    converter.run.metrics = {
        "epochs": 2,
        "kept_epoch": 1,
        "best_epoch": 0,
        "seconds": 12.4,
        "validation": {"loss": 2.0, "speaker.accuracy": 0.5},
        "test": {"loss": 2.5},
        "extension": {"old": {"before": {"accuracy": 0.5}, "after": {"accuracy": 0.25}}},
    }
    log = "".join(
        json.dumps({"epoch": n, "learning_rate": 0.1, "train": {"loss": 3.0}, "validation": {"loss": 2.0 + n}}) + "\n"
        for n in range(2)
    )
    (bare / "metrics.jsonl").write_text(log)
    section = parse_page(write_report(converter).read_text(encoding="utf-8")).named("training")
    assert "2 epochs in 12 s; the weights are from epoch 1, and epoch 0 was the best on validation." in section.text
    assert section.rows == [["figure", "validation", "test"], ["loss", "2", "2.5"], ["speaker.accuracy", "0.5", ""]]
    assert "Accuracy on old speakers: 0.500 before, 0.250 after." in section.text
    assert "from 2.000 to 3.000" in section.all("svg")[0].attributes["aria-label"]
    for damaged in ("{", "[1]\n", ""):
        (bare / "metrics.jsonl").write_text(damaged)
        section = parse_page(write_report(converter).read_text(encoding="utf-8")).named("training")
        assert "so there are no curves" in section.text


def test_without_recordings_the_page_is_shorter_and_says_why(run_folder: Path) -> None:
    (run_folder / MANIFEST).write_text(json.dumps({"path": "/gone.wav", "speaker": "alice", "split": "test"}) + "\n")
    page = parse_page(write_report(run_folder).read_text(encoding="utf-8"))
    gone = "The recordings that this run was trained on are no longer there. Give some with --data."
    for name in ("listen", "pictures", "figures", "recognition", "data"):
        assert gone in page.named(name).text, name
        assert not page.named(name).all("svg")
    assert len(page.named("speakers").all("svg")) == 1  # the voices are still there
    assert not page.all("audio")
    assert "consent of" not in page.text
    (run_folder / MANIFEST).unlink()
    assert "does not say which recordings" in write_report(run_folder).read_text(encoding="utf-8")


def test_other_recordings_can_be_given(bare: Path, voices_folder: Path, tmp_path: Path) -> None:
    page = parse_page(write_report(bare, tmp_path / "a.html", data=voices_folder).read_text(encoding="utf-8"))
    assert page.named("listen").all("audio")
    with pytest.raises(CorpusError):
        write_report(bare, tmp_path / "b.html", data=tmp_path / "none")
    assert not (tmp_path / "b.html").exists()


def test_recordings_of_the_training_split_are_never_shown(run_folder: Path) -> None:
    rows = [json.loads(line) | {"split": "train"} for line in (run_folder / MANIFEST).read_text().splitlines()]
    (run_folder / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = parse_page(write_report(run_folder).read_text(encoding="utf-8"))
    assert "No recording is held out" in page.named("listen").text
    assert "No recording is held out" in page.named("recognition").text
    assert not page.all("audio")


@pytest.mark.parametrize("missing", ["voice", "speaker", "voices"])
def test_a_run_without_a_head_or_voices_has_sentences_instead(run_folder: Path, missing: str) -> None:
    converter = vczoo.load(run_folder)
    if missing == "voices":
        converter.run.voices = {}
    else:
        del converter.model.heads[missing]
        (run_folder / MANIFEST).unlink()
    page = parse_page(write_report(converter).read_text(encoding="utf-8"))
    sentences = {
        "voice": ("listen", "This run has no voice head, so it converts nothing."),
        "speaker": ("speakers", "This run has no speaker head, so it has no embeddings of voices to map."),
        "voices": ("listen", "This run has no voices yet."),
    }
    section, sentence = sentences[missing]
    assert sentence in page.named(section).text
    for element in page.all("section"):
        assert len(element.children) > 1  # never a heading alone


HOSTILE = [
    "<script>alert(1)",  # a name of a speaker has no slash
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}{% raw %}",
    ']]><svg onload=x> & id="x"',
    "$\\frac{$ `a`",
    "\u202egnp.exe",
]


def test_names_are_text(run_folder: Path) -> None:
    converter = vczoo.load(run_folder)
    names = dict(zip(converter.voices, HOSTILE, strict=False))
    converter.run.voices = {names.get(n, n): v for n, v in converter.run.voices.items()}
    converter.run.speakers = tuple(names.get(n, n) for n in converter.speakers)
    converter.run.labels = ()
    converter.run.licence, converter.run.consent = HOSTILE[3], HOSTILE[4]
    converter.run.attribution = (HOSTILE[1], HOSTILE[5])
    converter.run.recipe = converter.recipe.model_copy(update={"summary": f"</pre>{HOSTILE[0]}", "name": HOSTILE[2]})
    rows = [json.loads(line) for line in (run_folder / MANIFEST).read_text().splitlines()]
    for row in rows:
        row["speaker"] = names.get(row["speaker"], row["speaker"])
    (run_folder / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = write_report(converter).read_text(encoding="utf-8")
    page = parse_page(text)
    assert "49" not in page.all("header")[0].text
    assert "\u202e" not in text
    assert not page.all("img")
    shown = page.text
    assert all(name in shown for name in HOSTILE[:3])
    assert len(page.named("listen").all("audio")) == 12


def test_many_voices_with_long_names_stay_small(run_folder: Path) -> None:
    converter = vczoo.load(run_folder)
    voice = next(iter(converter.run.voices.values()))
    names = [f"{number:04}-{'wide ' * 35}" for number in range(2000)]
    converter.run.voices |= dict.fromkeys(names, voice)
    converter.run.data = {"fingerprint": "", "minutes": dict.fromkeys(names, 1.0)}
    (run_folder / MANIFEST).unlink()
    path = write_report(converter)
    assert path.stat().st_size < LARGEST / 5
    assert "The first 60 of 2,000 rows." in parse_page(path.read_text(encoding="utf-8")).named("data").text


def test_what_is_not_a_report_is_not_replaced(run_folder: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.html"
    thesis.write_text("<p>two years of work</p>")
    with pytest.raises(RunError, match="exists and is not a report of vczoo"):
        write_report(run_folder, thesis)
    assert thesis.read_text() == "<p>two years of work</p>"
    with pytest.raises(RunError, match="choose a name that ends in"):
        write_report(run_folder, tmp_path / "report.pdf")
    with pytest.raises(RunError, match="is a file, not a folder"):
        write_report(run_folder, thesis / "a.html")


def test_a_name_that_is_no_folder_needs_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VczooError, match="with --out FILE"):
        write_report("base")
    with pytest.raises(VczooError, match="with --out FILE"):
        write_report(vczoo.load("base"))
    assert not list(tmp_path.iterdir())
