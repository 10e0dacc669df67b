from __future__ import annotations

import subprocess
import sys

import pytest

from flambe.errors import PluginError, UnknownTagError
from flambe.registry.registry import Registry


def test_core_brings_its_parts_through_the_hooks():
    (core,) = Registry.load(entry_points=False).plugins
    assert (core.name, core.distribution, core.error) == ("core", "flambe-core", None)
    assert core.brings["tags"] == ["Experiment", "Exporter", "Script"]
    assert {"local", "in-process", "pool"} <= set(core.brings["executors"])
    assert "run" in core.brings["commands"]


def test_every_target_of_core_exists():
    registry = Registry.load(entry_points=False)
    commands = registry.commands().values()
    executors = registry.executors().values()
    assert [entry.name for entry in [*commands, *executors] if not callable(entry.load())] == []


def test_record_lists_what_a_plugin_brings(make_plugin):
    def components(register):
        register.tag("Rain", "weather:Rain")
        register.namespace("w", ["weather"])

    plugin = make_plugin(
        "drops.plugin", components=components, sinks=lambda register: register("paper", "weather:Paper")
    )
    record = Registry.load(entry_points=False, plugins=[plugin]).plugins[-1]
    assert record.name == "plugin"
    assert record.brings == {"tags": ["Rain"], "namespaces": ["w"], "sinks": ["paper"]}


@pytest.fixture
def broken(site, make_module):
    make_module("cloudy", "import not_there_at_all\n")
    site("cloud-plugin", "1.2", points="[flambe]\ncloud = cloudy\n")
    return Registry.load()


def test_plugin_that_cannot_be_imported_is_recorded_and_the_rest_goes_on(broken):
    errors = {record.name: record.error for record in broken.plugins}
    assert errors["cloud"] == "ModuleNotFoundError: No module named 'not_there_at_all'"
    assert errors["core"] is None
    assert broken.executors()


def test_unknown_tag_names_the_plugin_that_failed_to_load(broken):
    with pytest.raises(UnknownTagError) as caught:
        broken.resolve("Cumulus")
    assert str(caught.value).endswith(
        "; plugin 'cloud' (cloud-plugin 1.2), which may have it, could not be loaded:"
        " ModuleNotFoundError: No module named 'not_there_at_all'"
    )


def test_hook_that_raises_brings_nothing_of_its_plugin(make_plugin):
    def components(register):
        register.tag("Rain", "weather:Rain")
        raise RuntimeError("too\nwet")

    registry = Registry.load(entry_points=False, plugins=[make_plugin("wet", components=components)])
    assert registry.plugins[-1].error == "RuntimeError: too wet"
    assert registry.plugins[-1].brings == {}
    assert "Rain" not in set(registry.tags())


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            "@hookimpl\ndef flambe_register_sinks(registry): ...",
            "Argument(s) {'registry'} are declared in the hookimpl but can not be found in the hookspec",
        ),
        ("@hookimpl\ndef flambe_register_rain(register): ...", "there is no hook 'flambe_register_rain'"),
    ],
)
def test_wrong_hook_is_reported(make_module, site, source, error):
    make_module("odd", f"from flambe.registry.hookspecs import hookimpl\n{source}\n")
    site("odd-plugin", points="[flambe]\nodd = odd\n")
    (record,) = [record for record in Registry.load().plugins if record.name == "odd"]
    assert record.error is not None
    assert error in record.error


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            lambda r: r.tag("Rain", "weather.Rain"),
            "ValueError: the target of 'Rain' has the form 'module:attribute', got 'weather.Rain'",
        ),
        (lambda r: r.tag("", "weather:Rain"), "ValueError: expected a name, got ''"),
        (
            lambda r: r.namespace("w", "weather"),
            "TypeError: namespace 'w': modules must be a list of module names",
        ),
        (lambda r: r.namespace("a b", []), "ValueError: a namespace is a name such as 'torch', got 'a b'"),
    ],
)
def test_malformed_registration_is_reported(make_plugin, call, error):
    registry = Registry.load(entry_points=False, plugins=[make_plugin("wet", components=call)])
    assert registry.plugins[-1].error == error


def test_one_name_by_two_plugins_is_an_error_only_when_it_is_asked_for(make_plugin, make_module):
    make_module("weather", "class Rain: ...\nclass Drizzle: ...\nclass Sun: ...\n")

    def one(register):
        register.tag("Rain", "weather:Rain")
        register.tag("Sun", "weather:Sun")

    plugins = [
        make_plugin("west", components=one),
        make_plugin("east", components=lambda register: register.tag("Rain", "weather:Drizzle")),
    ]
    registry = Registry.load(entry_points=False, plugins=plugins)
    assert registry.resolve("Sun").value.__name__ == "Sun"
    with pytest.raises(PluginError) as caught:
        registry.resolve("Rain")
    assert str(caught.value) == "tag 'Rain' is registered by west and by east; write !east.Rain or !west.Rain"
    assert registry.resolve("west.Rain").value.__name__ == "Rain"
    assert registry.resolve("east.Rain").value.__name__ == "Drizzle"
    assert {"west.Rain", "east.Rain"} <= set(registry.tags())
    assert registry.tag_of(registry.resolve("east.Rain").value) == "east.Rain"


def test_tag_whose_module_needs_something_says_what_to_install(make_plugin, make_module):
    make_module("weather", "import torchvision_of_the_future.models\n")
    plugin = make_plugin("wet", components=lambda register: register.tag("Rain", "weather:Rain"))
    with pytest.raises(PluginError) as caught:
        Registry.load(entry_points=False, plugins=[plugin]).resolve("Rain")
    assert str(caught.value) == (
        "'Rain' of wet needs module 'weather', which needs module 'torchvision_of_the_future':"
        " `pip install torchvision_of_the_future`"
    )


def test_nobody_is_told_to_install_a_package_that_is_there(make_plugin, make_module):
    make_module("weather", "import json.of_the_future\n")
    plugin = make_plugin("wet", components=lambda register: register.tag("Rain", "weather:Rain"))
    with pytest.raises(PluginError) as caught:
        Registry.load(entry_points=False, plugins=[plugin]).resolve("Rain")
    assert str(caught.value) == (
        "'Rain' of wet needs module 'weather', which cannot be imported: "
        "ModuleNotFoundError: No module named 'json.of_the_future'"
    )


def test_tag_whose_target_does_not_exist_is_the_plugins_fault(make_plugin, make_module):
    make_module("weather", "rain = 3\n")

    def components(register):
        register.tag("Rain", "weather:Rain")
        register.tag("Drop", "weather:rain")

    registry = Registry.load(entry_points=False, plugins=[make_plugin("wet", components=components)])
    with pytest.raises(PluginError) as caught:
        registry.resolve("Rain")
    assert str(caught.value) == "'Rain' of wet is registered as 'weather:Rain', which does not exist"
    with pytest.raises(PluginError) as caught:
        registry.resolve("Drop")
    assert str(caught.value) == "tag 'Drop' of wet: 'weather:rain' is no class or function"


def test_codec_waits_until_what_it_needs_is_imported(make_plugin, make_module):
    make_module("weather", "class Codec: ...\n")
    make_module("heavy", "")
    plugin = make_plugin("wet", codecs=lambda register: register("rain", "weather:Codec", needs="heavy"))
    registry = Registry.load(entry_points=False, plugins=[plugin])
    before = registry.codecs()
    __import__("heavy")
    after = registry.codecs()
    assert [type(codec).__name__ for codec in after if codec not in before] == ["Codec"]
    assert registry.codecs() == after


def test_sinks_are_new_each_time_and_a_broken_one_is_left_out(make_plugin, make_module, caplog):
    make_module("weather", "class Paper: ...\n")

    def sinks(register):
        register("paper", "weather:Paper")
        register("stone", "weather:Stone")

    registry = Registry.load(entry_points=False, plugins=[make_plugin("wet", sinks=sinks)])
    (first,), (second,) = registry.sinks(), registry.sinks()
    assert first is not second
    assert caplog.messages[0] == (
        "metric sink left out: 'stone' of wet is registered as 'weather:Stone', which does not exist"
    )


def test_unknown_executor_names_the_nearest():
    with pytest.raises(PluginError) as caught:
        Registry.load(entry_points=False).executor("locl")
    assert str(caught.value) == "there is no executor 'locl'; did you mean 'local'?"


def test_storage_is_found_by_protocol(make_plugin, make_module):
    make_module("weather", "def open_cloud(url): return url\n")
    plugin = make_plugin("wet", storage=lambda register: register("cloud", "weather:open_cloud"))
    registry = Registry.load(entry_points=False, plugins=[plugin])
    opened = registry.storage("cloud")
    assert opened is not None
    assert opened("cloud://x") == "cloud://x"
    assert registry.storage("smoke") is None


def test_loading_all_plugins_imports_nothing_heavy():
    heavy = ["torch", "ray", "numpy", "strictyaml", "rich", "importlib.metadata", "pytorch_lightning"]
    code = (
        "import sys; from flambe.registry.registry import Registry; registry = Registry.load();"
        "print([record.error for record in registry.plugins if record.error], end=' ');"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


def test_commands_of_core_keep_their_names(make_plugin):
    def commands(register):
        register("run", "weather:run")
        register("sky", "weather:sky")

    plugins = [make_plugin(name, commands=commands) for name in ("blue", "grey")]
    found = Registry.load(entry_points=False, plugins=plugins).commands()
    owners = {name: entry.plugin for name, entry in found.items() if "run" in name or "sky" in name}
    assert owners == {
        "run": "core",
        "blue.run": "blue",
        "grey.run": "grey",
        "sky": "blue",
        "grey.sky": "grey",
    }


def test_plugins_of_one_name_are_told_apart_by_their_distributions(make_module, site):
    for name in ("north", "south"):
        source = (
            "from flambe.registry.hookspecs import hookimpl\n"
            "class Rain: ...\n"
            "@hookimpl\n"
            f"def flambe_register_components(register): register.tag('Rain', '{name}:Rain')\n"
        )
        make_module(name, source)
        site(f"{name}-weather", points=f"[flambe]\nweather = {name}\n")
    registry = Registry.load()
    for tag in ("Rain", "weather.Rain"):
        with pytest.raises(PluginError) as caught:
            registry.resolve(tag)
        assert str(caught.value) == (
            f"tag {tag!r} is registered by north-weather 1.0 and by south-weather 1.0;"
            " write !north-weather.Rain or !south-weather.Rain"
        )
    south = registry.resolve("south-weather.Rain").value
    assert south.__module__ == "south"
    assert registry.tag_of(south) == "south-weather.Rain"


def test_plugin_that_exits_is_recorded(make_module, site):
    make_module("quitter", "raise SystemExit('enough')\n")
    site("quit-plugin", points="[flambe]\nquit = quitter\n")
    assert [record.error for record in Registry.load().plugins if record.name == "quit"] == [
        "SystemExit: enough"
    ]
