from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from vczoo.errors import PluginError, UnknownNameError
from vczoo.io.install_advice import pip_install
from vczoo.registry import zoo as zoo_module
from vczoo.registry.discovery import Candidate
from vczoo.registry.entry import Entry, Weights
from vczoo.registry.hookspecs import hookimpl
from vczoo.registry.zoo import Zoo, list_models, list_parts, the_zoo


class Plugin:
    """What a plugin's module is to the manager: something with hooks."""

    def __init__(self, entries: Any = (), recipes: Path | None = None) -> None:
        self.entries, self.recipes = entries, recipes

    @hookimpl
    def vczoo_entries(self) -> Any:
        if isinstance(self.entries, Exception):
            raise self.entries
        return self.entries


class PluginWithRecipes(Plugin):
    @hookimpl
    def vczoo_recipes(self) -> Path | None:
        return self.recipes


class FakePoint(Candidate):
    """A plugin of a distribution that is not installed."""

    def __init__(self, name: str, distribution: str, plugin: Any) -> None:
        super().__init__(name, "example_of_nothing", distribution, "1.2")
        object.__setattr__(self, "plugin", plugin)

    def load(self) -> Any:
        if isinstance(self.plugin, Exception):
            raise self.plugin
        return self.plugin


def net(name: str, **more: Any) -> Entry:
    return Entry(
        **{"licence": "MIT", **more}, name=name, kind="backbone", factory="example.build:build", summary="an example"
    )


def zoo(*points: FakePoint) -> Zoo:
    return Zoo(points)


def test_the_core_registers_itself_as_a_plugin() -> None:
    empty = zoo()
    assert [(plugin.name, plugin.distribution, plugin.fault) for plugin in empty.plugins] == [("vczoo", "vczoo", "")]
    assert empty.plugins[0].version == metadata.version("vczoo")
    assert {
        "none",
        "full",
        "partial",
        "gradual",
        "discriminative",
        "norms",
        "selected",
        "probe-then-tune",
        "autofreeze",
        "bitfit",
        "film-only",
        "lora",
        "dora",
        "ia3",
        "adapters",
        "l2-sp",
        "characteristic-specific",
    } == {entry.name for entry, _ in empty.entries("freezing")}
    assert "demo" in [recipe.name for recipe in empty.recipes()]


def test_lists_by_name_and_pattern() -> None:
    assert list_parts("freezing", "*al") == ["gradual", "partial"]
    assert list_models("demo*") == sorted(list_models("demo*"))
    assert "demo" in list_models("dem?")
    assert list_models("no such*") == []


def test_entries_and_recipes_of_a_plugin(tmp_path) -> None:
    (tmp_path / "tiny.yaml").write_text("summary: tiny\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("not a recipe", encoding="utf-8")
    both = zoo(FakePoint("example", "vczoo-example", PluginWithRecipes([net("example/net")], tmp_path)))
    assert both.find("backbone", "example/net")[0].summary == "an example"
    assert both.distribution("backbone", "example/net") == "vczoo-example"
    assert both.recipe("tiny").read() == "summary: tiny\n"
    assert both.recipe("tiny").distribution == "vczoo-example"
    assert "README" not in [recipe.name for recipe in both.recipes()]
    assert (both.plugins[-1].distribution, both.plugins[-1].version) == ("vczoo-example", "1.2")


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (ImportError("no module named 'wrapped'"), "ImportError: no module named 'wrapped'"),
        (Plugin(RuntimeError("boom")), "RuntimeError: boom"),
        (Plugin(["example/net"]), "vczoo_entries returned a str, expected vczoo.Entry"),
        (Plugin(7), "TypeError: 'int' object is not iterable"),
        (PluginWithRecipes([], Path("no/such/folder")), "FileNotFoundError"),
    ],
    ids=["import", "hook", "no entry", "no list", "no folder"],
)
def test_a_broken_plugin_is_set_apart_with_its_reason(plugin, reason) -> None:
    points = (FakePoint("bad", "vczoo-bad", plugin), FakePoint("good", "vczoo-good", Plugin([net("good/net")])))
    registry = zoo(*points)
    (bad,) = [plugin for plugin in registry.plugins if plugin.distribution == "vczoo-bad"]
    assert bad.fault.startswith(reason)
    assert registry.find("backbone", "good/net")
    assert registry.find("head", "knn")
    with pytest.raises(UnknownNameError, match="'bad/net' comes with vczoo-bad, which does not load"):
        registry.find("backbone", "bad/net")


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"kind": "backboen"}, "kind is 'backboen', expected one of"),
        ({"factory": "example.build"}, "expected 'module:attribute'"),
        ({"factory": ":build"}, "expected 'module:attribute'"),
        ({"name": ""}, "name, summary and licence are required"),
        ({"summary": ""}, "name, summary and licence are required"),
        ({"licence": ""}, "name, summary and licence are required"),
        ({"name": 7}, "name is 7, expected text"),
        ({"name": "vczoo:net"}, "a name cannot contain a colon"),
        ({"weights": ("v1",)}, "weights a tuple of vczoo.Weights"),
        ({"arguments": [1]}, "arguments must be a mapping"),
    ],
)
def test_an_entry_with_wrong_fields_cannot_be_made(fields, part) -> None:
    right = {"name": "n", "kind": "head", "factory": "a:b", "summary": "s", "licence": "MIT"}
    with pytest.raises(PluginError) as error:
        Entry(**(right | fields))
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("factory", "part"),
    [
        ("vczoo.no_such_module:build", "No module named"),
        ("vczoo.registry.zoo:no_such_thing", "no_such_thing"),
        ("vczoo.registry.zoo:CORE", "is a str, expected a callable"),
    ],
)
def test_a_factory_that_cannot_be_had(factory, part) -> None:
    with pytest.raises(PluginError, match="head 'x'") as error:
        Entry("x", "head", factory, "s", "MIT").load()
    assert part in str(error.value)


def test_a_name_of_two_distributions_goes_to_neither_silently(tmp_path) -> None:
    weights = (Weights("v1", "there"),)
    mine, theirs = net("example/net", weights=weights), net("example/net", licence="BSD-3-Clause")
    (tmp_path / "tiny.yaml").write_text("summary: tiny\n", encoding="utf-8")
    first = FakePoint("example", "vczoo-first", PluginWithRecipes([mine], tmp_path))
    second = FakePoint("example", "vczoo_second", PluginWithRecipes([net("example/other"), theirs], tmp_path))
    registry = zoo(second, first)
    assert [plugin.state for plugin in registry.plugins] == ["loaded"] * 3
    both = r"is registered by vczoo-first and vczoo_second; write vczoo-first:{0} or vczoo_second:{0}, or set VCZOO"
    for name in ("example/net", "example/net.v1"):
        with pytest.raises(UnknownNameError, match="backbone 'example/net' " + both.format("example/net")):
            registry.find("backbone", name)
    with pytest.raises(UnknownNameError, match="recipe 'tiny' " + both.format("tiny")):
        registry.recipe("tiny")
    assert registry.find("backbone", "example/other")
    assert registry.find("backbone", "vczoo-first:example/net.v1") == (mine, "v1")
    assert registry.find("backbone", "vczoo-second:example/net") == (theirs, "")  # as installers compare names
    assert registry.distribution("backbone", "vczoo-second:example/net") == "vczoo_second"
    assert registry.recipe("vczoo-first:tiny").distribution == "vczoo-first"
    assert registry.recipe("vczoo-first:tiny").name == "tiny"
    with pytest.raises(
        UnknownNameError, match="'vczoo-third' does not register backbone 'example/net', which comes from vczoo-first"
    ):
        registry.find("backbone", "vczoo-third:example/net")
    assert [recipe.name for recipe in registry.recipes("*tiny")] == ["vczoo-first:tiny", "vczoo_second:tiny"]
    assert [registry.use_of(*pair) for pair in registry.entries("backbone", "example/*")] == [
        "vczoo-first:example/net",
        "vczoo_second:example/net",
        "example/other",
    ]
    assert registry.clashes(registry.plugins[-1])[0] == (
        "backbone 'example/net' is also registered by vczoo_second: write vczoo-first:example/net"
    )


@pytest.mark.parametrize("name", ["demo", "knn"])
def test_what_is_the_cores_own_is_nobody_elses(name, tmp_path) -> None:
    (tmp_path / "demo.yaml").write_text("summary: mine\n", encoding="utf-8")
    head = Entry("knn", "head", "a:b", "s", "MIT")
    plugin = PluginWithRecipes([net("x/net")], tmp_path) if name == "demo" else Plugin([net("x/net"), head])
    registry = zoo(FakePoint("b", "vczoo-second", plugin))
    assert f"{name!r} is part of vczoo, and a plugin cannot replace it" in registry.plugins[-1].fault
    assert registry.recipe("demo").distribution == "vczoo"
    assert registry.distribution("head", "vczoo:knn") == "vczoo"
    with pytest.raises(UnknownNameError):  # nothing of the second is half-registered
        registry.find("backbone", "x/net")


def test_a_name_of_two_plugins_of_one_distribution() -> None:
    registry = zoo(FakePoint("a", "vczoo-b", Plugin([net("b/net")])), FakePoint("b", "vczoo-b", Plugin([net("b/net")])))
    assert [plugin.state for plugin in registry.plugins] == ["loaded", "loaded", "broken"]
    assert "is already registered by vczoo-b" in registry.plugins[-1].fault


def test_a_name_twice_in_one_plugin() -> None:
    registry = zoo(FakePoint("b", "vczoo-b", Plugin([net("b/net"), net("b/net")])))
    assert "backbone 'b/net' is registered twice" in registry.plugins[-1].fault


def test_a_head_and_a_backbone_may_share_a_name() -> None:
    registry = zoo(FakePoint("b", "vczoo-b", Plugin([net("knn")])))
    assert registry.find("backbone", "knn")[0].licence == "MIT"
    assert registry.find("head", "knn")[0].licence == "Apache-2.0"


def test_a_name_may_end_in_the_name_of_weights() -> None:
    weights = (Weights("v1.a", "there"), Weights("v2", "there"))
    registry = zoo(FakePoint("b", "vczoo-b", Plugin([net("b/net", weights=weights), net("b/net.x")])))
    assert registry.find("backbone", "b/net")[1] == ""
    assert registry.find("backbone", "b/net.v2")[1] == "v2"
    assert registry.find("backbone", "b/net.x") == (net("b/net.x"), "")
    with pytest.raises(UnknownNameError, match=r"has no weights 'v3'; did you mean 'v2'\? It has: v1.a, v2"):
        registry.find("backbone", "b/net.v3")


def test_an_unknown_name_gets_its_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no head is called 'spaeker-classifier'; did you mean 'speaker-cl"):
        zoo().find("head", "spaeker-classifier")
    with pytest.raises(UnknownNameError, match=r"no recipe is called 'demmo'; did you mean 'demo'"):
        zoo().recipe("demmo")
    with pytest.raises(UnknownNameError, match="`vczoo list --parts vocoder` lists all"):
        zoo().find("vocoder", "nothing like it")


@pytest.mark.parametrize("prefix", sorted(zoo_module.KNOWN_PLUGINS))
def test_an_absent_plugin_is_named(prefix) -> None:
    with pytest.raises(UnknownNameError, match=rf"not installed: {re.escape(pip_install(f'vczoo-{prefix}'))}$"):
        zoo().find("backbone", f"{prefix}/resnet18.a1_in1k")


def test_the_weights_of_the_installed_plugin_are_found_by_tag() -> None:
    pytest.importorskip("vczoo_timm")
    entry, tag = the_zoo().find("backbone", "timm/resnet10t.c3_in1k")
    assert (entry.name, tag) == ("timm/resnet10t", "c3_in1k")
    assert entry.weights[0].size_bytes > 20_000_000


def of_kind(kind: Any, name: str) -> Entry:
    return Entry(name, kind, "example.build:build", "an example", "MIT")


@pytest.mark.parametrize("kind", ["pitch", "metric"])
def test_two_pitch_trackers_or_metrics_of_one_name(kind: Any) -> None:
    twice = FakePoint("twice", "vczoo-twice", Plugin([of_kind(kind, "a/b"), of_kind(kind, "a/b")]))
    (plugin,) = [plugin for plugin in zoo(twice).plugins if plugin.name == "twice"]
    assert (plugin.state, plugin.fault) == ("broken", f"{kind} 'a/b' is registered twice; rename one of the two")
    both = zoo(
        FakePoint("one", "vczoo-one", Plugin([of_kind(kind, "a/b")])),
        FakePoint("two", "vczoo-two", Plugin([of_kind(kind, "a/b")])),
    )
    with pytest.raises(UnknownNameError, match=r"vczoo-one and vczoo-two; write vczoo-one:a/b or vczoo-two:a/b"):
        both.find(kind, "a/b")
    assert both.find(kind, "vczoo-two:a/b")[0].kind == kind


@pytest.mark.parametrize(("kind", "name"), [("pitch", "dio"), ("metric", "dnsmos")])
def test_a_plugin_cannot_replace_a_built_in_pitch_tracker_or_metric(kind: Any, name: str) -> None:
    plugins = zoo(FakePoint("taker", "vczoo-taker", Plugin([of_kind(kind, name)]))).plugins
    fault = next(plugin.fault for plugin in plugins if plugin.name == "taker")
    assert fault == f"{kind} {name!r} is part of vczoo, and a plugin cannot replace it; give it another name"
