from __future__ import annotations

import subprocess
import sys

import pytest

from flambe.errors import ExtensionError, PluginError, UnknownTagError
from flambe.language import nodes
from flambe.language.header import Git, Header, HeaderEntry, ImportPath
from flambe.registry.registry import Registry

CORE = {"Experiment", "Exporter", "Script"}

WEATHER = """
    import os, os.path
    import subprocess
    from functools import partial, lru_cache
    from os import system
    from json import JSONDecoder
    from flambe import errors
    from flambe.registry.registry import Registry

    __version__ = "3.2"
    sun = Registry.load

    class Rain:
        shell = system
        popen = subprocess.Popen
        run = staticmethod(system)

        class Drop:
            @classmethod
            def small(cls): return "small drop"

        def fall(self): ...

        @classmethod
        def heavy(cls, amount): return ("heavy", amount)

        @staticmethod
        def light(): return "light"

        @classmethod
        def _secret(cls): ...

    class Drizzle(Rain): ...

    class _Hidden: ...

    def forecast(days=3): ...

    @lru_cache
    def cached(): ...

    table = {"Rain": Rain}
    instance = Rain()
"""


@pytest.fixture
def weather(make_module) -> str:
    return make_module("weather", WEATHER)


@pytest.fixture
def registry(weather) -> Registry:
    return Registry.load(entry_points=False).with_aliases({"w": weather})


def message(registry: Registry, tag: str) -> str:
    with pytest.raises(UnknownTagError) as caught:
        registry.resolve(tag)
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["w.", "weather:"])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Rain", "Rain"),
        ("forecast", "forecast"),
        ("cached", "cached"),
        ("Rain.Drop", "Rain.Drop"),
        ("Rain.heavy", "Rain.heavy"),
        ("Rain.light", "Rain.light"),
        ("Drizzle.heavy", "Rain.heavy"),
        ("Drizzle.Drop", "Rain.Drop"),
        ("Rain.Drop.small", "Rain.Drop.small"),
        ("Registry", "Registry"),
    ],
)
def test_classes_functions_and_factories_of_a_module_are_found(registry, prefix, names, expected):
    assert registry.resolve(prefix + names).callable.__qualname__ == expected


@pytest.mark.parametrize("prefix", ["w.", "weather:"])
@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("os", "'os' of module 'weather' is a module, not a class or function"),
        ("os.system", "'os' of module 'weather' is a module, not a class or function"),
        ("os.path.join", "'os' of module 'weather' is a module, not a class or function"),
        ("errors.FlambeError", "'errors' of module 'weather' is a module, not a class or function"),
        ("system", "'system' of module 'weather' only comes from Python's 'posix'"),
        ("partial", "'partial' of module 'weather' only comes from Python's 'functools'"),
        ("JSONDecoder", "'JSONDecoder' of module 'weather' only comes from Python's 'json.decoder'"),
        ("sun", "'sun' of module 'weather' is an instance of method, not a class or function"),
        ("table", "'table' of module 'weather' is an instance of dict, not a class or function"),
        ("instance", "'instance' of module 'weather' is an instance of Rain, not a class or function"),
        ("__builtins__", "'__builtins__' is private"),
        ("__dict__", "'__dict__' is private"),
        ("Rain.__init__", "'__init__' is private"),
        ("Rain.__subclasses__", "'__subclasses__' is private"),
        ("Rain._secret", "'_secret' is private"),
        ("Rain.mro", "class 'Rain' has no classmethod 'mro'"),
        ("Rain.fall", "class 'Rain' has no classmethod 'fall'"),
        ("Rain.shell", "class 'Rain' has no classmethod 'shell'"),
        ("Rain.popen", "class 'Rain' has no classmethod 'popen'"),
        ("Rain.run", "class 'Rain' has no classmethod 'run'"),
        ("Rain.heavy.__func__", "class 'Rain' has no classmethod 'heavy'"),
        ("forecast.__globals__", "'forecast' is a function and has no '__globals__'"),
    ],
)
def test_nothing_else_of_a_module_is_reached(registry, prefix, names, reason):
    said = message(registry, prefix + names)
    assert said.removeprefix(f"unknown tag {prefix + names!r}: ").partition(";")[0] == reason


def test_private_class_is_reached_only_where_its_own_module_is_written_out(registry):
    assert registry.resolve("weather:_Hidden").value.__name__ == "_Hidden"
    assert message(registry, "w._Hidden") == "unknown tag 'w._Hidden': '_Hidden' is private"


@pytest.mark.parametrize(
    "tag", ["", ".", "w.", ".Rain", "w..Rain", "a b", "weather:", ":Rain", "weather:Rain:x", "x.__main__:y"]
)
def test_what_is_no_tag_is_said_to_be_none(registry, tag):
    assert "is not a tag; expected" in message(registry, tag)


def test_a_link_without_its_space_is_told(registry):
    assert message(registry, "@a.b") == "a space is missing in the link: write '!@ a.b'"


def test_module_of_a_written_out_tag_may_not_exist(registry):
    assert (
        message(registry, "whether.rain:Rain")
        == "unknown tag 'whether.rain:Rain': there is no module 'whether'"
    )


def test_form_that_was_meant_is_offered(registry):
    assert message(registry, "w") == "unknown tag 'w'; it is a namespace: write !w.Name"
    assert message(registry, "collections.Counter") == (
        "unknown tag 'collections.Counter'; to import it, write !collections:Counter"
    )


def test_nearest_name_of_the_module_is_offered(registry):
    assert message(registry, "w.drizle") == (
        "unknown tag 'w.drizle': module 'weather' has no 'drizle'; did you mean 'w.Drizzle'?"
    )
    assert message(registry, "w.Rain.heavi") == (
        "unknown tag 'w.Rain.heavi': class 'Rain' has no classmethod 'heavi'; did you mean 'w.Rain.heavy'?"
    )


def test_provider_is_the_distribution_of_the_module_or_the_module_itself(registry, site):
    assert str(registry.resolve("w.Rain").provider) == "weather 3.2"
    site("Weather", "3.3")
    assert str(registry.with_aliases(registry.aliases).resolve("w.Rain").provider) == "Weather 3.3"


COMPONENTS = """
    from flambe.component import Component, alias

    @alias("shower")
    @alias("wet.shower")
    class Rain(Component):
        @classmethod
        def heavy(cls): ...

    class Linear(Component): ...
    class _Private(Component): ...
"""


def test_component_of_a_header_module_is_found_by_its_bare_name_and_aliases(make_module):
    name = make_module("components.rain", COMPONENTS)
    registry = Registry.load(entry_points=False)
    assert message(registry, "Rain") == "unknown tag 'Rain'"
    registry = registry.with_aliases({"c": "components", "r": name})
    rain = registry.resolve("r.Rain").value
    assert registry.resolve("Rain").value is rain
    assert registry.resolve("shower").value is rain
    assert registry.resolve("wet.shower").value is rain
    assert registry.resolve("Rain.heavy").factory == "heavy"
    assert message(registry, "_Private") == "unknown tag '_Private'"


def test_aliases_of_a_component_are_not_inherited_and_reach_factories(make_module):
    name = make_module("components", COMPONENTS + "\n    class Storm(Rain): ...\n")
    registry = Registry.load(entry_points=False).with_aliases({"c": name})
    assert registry.resolve("shower.heavy").value.__name__ == "Rain"
    assert registry.resolve("wet.shower.heavy").value.__name__ == "Rain"


def test_component_of_a_module_that_the_header_does_not_name_is_unknown(make_module):
    make_module("rainy", COMPONENTS)
    make_module("rain", "import rainy\nfrom rainy import Rain\n")
    registry = Registry.load(entry_points=False).with_aliases({"r": "rain"})
    assert registry.resolve("r.Rain").value.__module__ == "rainy"
    assert message(registry, "Rain") == "unknown tag 'Rain'; did you mean 'r.Rain'?"


def test_two_components_of_one_name_are_an_error_only_when_it_is_asked_for(make_module):
    make_module("west", COMPONENTS)
    make_module("east", "from flambe import Component\nclass Rain(Component): ...\n")
    registry = Registry.load(entry_points=False).with_aliases({"w": "west", "e": "east"})
    assert registry.resolve("Linear").value.__module__ == "west"
    with pytest.raises(PluginError) as caught:
        registry.resolve("Rain")
    assert str(caught.value) in (
        "component 'Rain' is defined in 'west' and in 'east'; write !w.Rain or !e.Rain",
        "component 'Rain' is defined in 'east' and in 'west'; write !e.Rain or !w.Rain",
    )
    assert registry.resolve("e.Rain").value.__module__ == "east"


@pytest.fixture
def layers(make_module, make_plugin):
    """A plugin with a bare namespace, as torch is."""
    make_module("layers.nn", "class Linear: ...\nclass Conv: ...\n")
    make_module("layers.optim", "class Adam: ...\nclass Conv: ...\n")

    def components(register):
        register.namespace("layers", ["layers.nn", "layers.optim"], bare=True)
        register.tag("Trainer", "layers.optim:Adam")
        register.tag("extra.Conv", "layers.optim:Conv")

    return make_plugin("deep", components=components)


def test_namespace_is_searched_in_the_order_of_its_modules(layers):
    registry = Registry.load(entry_points=False, plugins=[layers])
    assert registry.resolve("layers.Conv").value.__module__ == "layers.nn"
    assert registry.resolve("extra.Conv").value.__module__ == "layers.optim"
    assert registry.resolve("Adam").value is registry.resolve("layers.Adam").value
    assert registry.resolve("deep.Trainer").value is registry.resolve("Trainer").value


def test_bare_namespace_comes_before_components_of_the_header(layers, make_module):
    registry = Registry.load(entry_points=False, plugins=[layers])
    registry = registry.with_aliases({"c": make_module("components", COMPONENTS)})
    assert registry.resolve("Linear").value.__module__ == "layers.nn"
    assert registry.resolve("c.Linear").value.__module__ == "components"


def test_header_alias_beats_a_namespace_of_the_same_name(layers, weather):
    registry = Registry.load(entry_points=False, plugins=[layers]).with_aliases({"layers": weather})
    assert registry.resolve("layers.Rain").value.__name__ == "Rain"
    assert (
        message(registry, "layers.Linear") == "unknown tag 'layers.Linear': module 'weather' has no 'Linear'"
    )


def test_component_is_found_without_importing_a_namespace_that_does_not_mention_it(layers, make_module):
    registry = Registry.load(entry_points=False, plugins=[layers])
    registry = registry.with_aliases({"c": make_module("components", COMPONENTS)})
    assert registry.resolve("Rain").value.__module__ == "components"
    assert "layers" not in sys.modules
    registry.resolve("Linear")
    assert "layers.nn" in sys.modules


@pytest.mark.parametrize(
    "tag", ["layers.nn.Linear", "layers.os.system", "layers.__name__", "nn", "nn.Linear"]
)
def test_modules_inside_a_namespace_are_not_reached(layers, tag):
    registry = Registry.load(entry_points=False, plugins=[layers])
    registry.resolve("layers.Linear")
    assert message(registry, tag).startswith(f"unknown tag {tag!r}")


def test_name_inside_a_namespace_that_is_not_imported_yet_is_offered(layers):
    registry = Registry.load(entry_points=False, plugins=[layers])
    assert message(registry, "layers.adm") == "unknown tag 'layers.adm'; did you mean 'layers.Adam'?"


def test_name_in_the_namespaces_of_two_plugins_is_an_error(layers, make_plugin, make_module):
    make_module("others", "class Adam: ...\n")
    other = make_plugin("other", components=lambda register: register.namespace("layers", ["others"]))
    registry = Registry.load(entry_points=False, plugins=[layers, other])
    assert registry.resolve("layers.Linear").value.__name__ == "Linear"
    with pytest.raises(PluginError) as caught:
        registry.resolve("layers.Adam")
    assert (
        str(caught.value)
        == "'Adam' is brought by deep and by other; write !layers.optim:Adam or !others:Adam"
    )


def test_broken_bare_namespace_does_not_hide_components(make_plugin, make_module):
    make_module("layers", "import missing_engine\nRain = Linear = None\n")
    plugin = make_plugin(
        "deep", components=lambda register: register.namespace("layers", ["layers"], bare=True)
    )
    registry = Registry.load(entry_points=False, plugins=[plugin])
    registry = registry.with_aliases({"c": make_module("components", COMPONENTS)})
    assert registry.resolve("Rain").value.__module__ == "components"
    broken = (
        "namespace 'layers' of deep needs module 'layers', which needs module 'missing_engine':"
        " `pip install missing_engine`"
    )
    assert message(registry, "Sleet") == f"unknown tag 'Sleet'; {broken}"
    with pytest.raises(PluginError) as caught:
        registry.resolve("layers.Sleet")
    assert str(caught.value) == broken


@pytest.mark.parametrize(
    ("tag", "package"),
    [
        ("tune.HyperBandScheduler", "flambe-ray"),
        ("ray.HyperBandScheduler", "flambe-ray"),
        ("torch.Adam", "flambe-torch"),
        ("Trainer", "flambe-torch"),
        ("NLLLoss", "flambe-torch"),
        ("cl.TextClassifier", "flambe-nlp"),
        ("lm.BERTTextField.from_alias", "flambe-nlp"),
        ("TextField.from_embeddings", "flambe-nlp"),
        ("dist.DistillationTrainer", "flambe-distill"),
        ("AWSManager", "flambe-aws"),
    ],
)
def test_package_of_a_well_known_tag_is_named(tag, package):
    registry = Registry.load(entry_points=False)
    assert message(registry, tag) == f"unknown tag {tag!r}; it comes with {package}: `pip install {package}`"


def test_missing_header_module_says_what_to_do_and_does_not_stand_in_the_way_of_other_tags(layers):
    entries = (
        HeaderEntry("g", Git("https://example.org/g.git", "v1", "sub")),
        HeaderEntry("n", ImportPath("flambe_ray.extra")),
        HeaderEntry("p", ImportPath("not_there.at_all")),
    )
    registry = Registry.load(entry_points=False, plugins=[layers]).with_header(Header(entries))
    assert registry.resolve("Linear").value.__name__ == "Linear"
    messages = {}
    for tag in ("g.Rain", "n.Rain", "p.Rain", "Rain"):
        with pytest.raises(ExtensionError) as caught:
            registry.resolve(tag)
        messages[tag] = str(caught.value)
    assert messages["g.Rain"] == (
        "extension 'g': module 'g' is not installed: run `flambe run -i …`, or"
        " `pip install 'git+https://example.org/g.git@v1#subdirectory=sub'`;"
        " if its module is not 'g', give both `source:` and `module:`"
    )
    assert messages["n.Rain"] == (
        "extension 'n': module 'flambe_ray.extra' is not installed: run `pip install flambe-ray`"
    )
    assert messages["p.Rain"] == (
        "extension 'p': module 'not_there.at_all' is not installed; install the package that has it,"
        " or name its source: a folder, a git URL or a requirement"
    )
    assert messages["Rain"] == messages["g.Rain"]


def test_error_inside_an_extension_keeps_its_type_and_says_where(make_module):
    make_module("stormy", "raise ZeroDivisionError('lightning')\n")
    registry = Registry.load(entry_points=False).with_aliases({"s": "stormy"})
    for tag in ("s.Rain", "stormy:Rain", "Rain"):
        with pytest.raises(ZeroDivisionError, match="lightning") as caught:
            registry.resolve(tag)
        assert any("'stormy'" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("w.Rain", "w.Rain"),
        ("w.Rain.Drop", "w.Rain.Drop"),
        ("w.forecast", "w.forecast"),
        ("weather:_Hidden", "weather:_Hidden"),
        ("collections:Counter", "collections:Counter"),
        ("Trainer", "Trainer"),
        ("layers.Linear", "layers.Linear"),
        ("Adam", "Trainer"),
        ("extra.Conv", "extra.Conv"),
    ],
)
def test_tag_of_reads_back(layers, registry, tag, expected):
    registry = Registry.load(entry_points=False, plugins=[layers]).with_aliases(registry.aliases)
    value = registry.resolve(tag).value
    assert registry.tag_of(value) == expected
    assert registry.resolve(expected).value is value


def test_tag_of_takes_the_longest_module_name_of_the_header(make_module):
    make_module("components.rain", COMPONENTS)
    make_module("components", "from components.rain import Rain\n")
    registry = Registry.load(entry_points=False).with_aliases({"c": "components", "r": "components.rain"})
    registry.resolve("c.Rain")
    rain = registry.resolve("r.Rain").value
    assert registry.tag_of(rain) == "r.Rain"
    assert registry.tag_of(rain.heavy) == "r.Rain.heavy"
    assert registry.with_aliases({"c": "components"}).tag_of(rain) == "c.Rain"
    assert registry.with_aliases({}).tag_of(rain) == "components.rain:Rain"


def test_what_is_local_to_a_function_has_no_tag():
    class Local: ...

    assert Registry.load(entry_points=False).tag_of(Local) is None
    assert Registry.load(entry_points=False).tag_of(lambda: None) is None


def test_tags_of_a_config_are_imported(layers):
    registry = Registry.load(entry_points=False, plugins=[layers])
    inner = nodes.Build("Adam")
    registry.import_tags(nodes.Mapping((nodes.Entry("x", nodes.Grid((inner, nodes.Scalar(1)))),)))
    assert "layers.optim" in sys.modules


def test_known_tags_are_listed_without_importing(layers, weather):
    registry = Registry.load(entry_points=False, plugins=[layers]).with_aliases({"w": weather})
    assert set(registry.tags()) == {*CORE, "Trainer", "extra.Conv"}
    registry.resolve("Linear")
    registry.resolve("w.Rain")
    assert {"Linear", "layers.Linear", "w.Rain", "w.forecast"} <= set(registry.tags())
    assert {"w.system", "w.os", "w.table", "w._Hidden"}.isdisjoint(registry.tags())


def test_a_name_that_a_bare_namespace_makes_up_is_found_whatever_looks_like_it(make_module, make_plugin):
    source = """
        class Made: ...
        def __getattr__(name):
            if name != "Train" + "err":
                raise AttributeError(name)
            return Made
    """
    make_module("inventive.more", "")  # a package, whose source can be looked into
    make_module("inventive", source)
    plugin = make_plugin(
        "p",
        components=lambda register: (
            register.tag("Trainer", "builtins:list"),
            register.namespace("i", ("inventive",), bare=True),
        ),
    )
    registry = Registry.load(entry_points=False, plugins=[plugin])
    assert registry.resolve("Trainerr").value.__name__ == "Made"


def test_torch_is_not_imported_for_tags_that_do_not_need_it(weather):
    code = (
        f"import sys; sys.path[:0] = {sys.path[:2]!r}\n"
        "from flambe.registry.registry import Registry\n"
        "registry = Registry.load().with_aliases({'w': 'weather'})\n"
        "registry.resolve('w.Rain'), list(registry.tags()), registry.tag_of(dict)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_module_that_failed_is_imported_once(make_module, make_plugin, tmp_path):
    file = str(tmp_path / "count")
    count = f"with open({file!r}, 'a') as file:\n    file.write('x')\nraise RuntimeError\n"
    make_module("bad_header", count)
    make_module("bad_plugin", count)
    plugin = make_plugin("p", components=lambda r: r.namespace("b", ["bad_plugin"], bare=True))
    registry = Registry.load(entry_points=False, plugins=[plugin]).with_aliases({"h": "bad_header"})
    for tag in ("One", "Two", "h.One"):
        with pytest.raises(RuntimeError):
            registry.resolve(tag)
    for tag in ("b.One", "b.Two"):
        with pytest.raises(PluginError):
            registry.resolve(tag)
    assert (tmp_path / "count").read_text() == "xx"


def test_the_tags_of_a_namespace_are_told_by_importing_it(make_module, make_plugin):
    make_module("clouds", "class Cirrus: ...\nclass Cumulus: ...\n")
    plugin = make_plugin("sky", components=lambda register: register.namespace("sky", ["clouds", "no_such"]))
    registry = Registry.load(entry_points=False, plugins=[plugin])
    assert "sky.Cirrus" not in set(registry.tags())
    assert registry.tags_in("sky") == ["sky.Cirrus", "sky.Cumulus"]
    assert registry.tags_in("sea") == registry.tags_in("") == []
