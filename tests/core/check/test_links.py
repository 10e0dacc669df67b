from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flambe.component import Component

Stage = Callable[[str], list[str]]


class Data(Component):
    labels: int

    def __init__(self, path: str = "", size: int = 3) -> None:
        self.path = path
        self.size = size * 2
        self.rows = [1, 2]

    @property
    def name(self) -> str:
        return ""

    @property
    def secret(self):
        return 1

    @cached_property
    def width(self) -> int:
        return 1

    def count(self, of: str = "") -> int:
        return 1

    def unknown(self):
        return 1


class Model(Component):
    def __init__(self, size: int = 1, layers: Any = None, name: str = "") -> None:
        self.size = size
        self.layers = layers or []
        self.name = name

    @property
    def params(self) -> list[float]:
        return []


class Trainer(Component):
    def __init__(self, model: Model, data: Any = None, optimizer: Any = None) -> None:
        self.model = model


class Adam(Component):
    def __init__(self, params: Any, lr: float = 0.1) -> None: ...


class Table(dict):
    def __init__(self, size: int = 1) -> None: ...


@dataclass
class Settings:
    size: int = 1
    name: str = ""


class Dynamic(Component):
    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any: ...


def test_links_to_what_was_built_are_let_through(stage: Stage) -> None:
    found = stage(
        """
        data: !p.Data {path: a, size: 4}
        plain: {lr: 0.1, sizes: [1, 2, {x: 3}], name: abc}
        number: 3
        list: [1, 2]
        train: !p.Trainer
          model: !p.Model {size: !@ data.labels, layers: [!p.Model {size: 1}]}
          data: !@ data
          optimizer: !p.Adam {params: !@ train.model.params, lr: !@ plain.lr}
        b: !p.Model {size: !@ "plain.sizes[0]", name: !@ data.name}
        c: !p.Model {size: !@ "plain[sizes].2.x", name: !@ "plain[name]"}
        d: !p.Model {size: !@ number, name: !@ train.model.name}
        e: !p.Model {size: !@ "train[model].size", layers: !@ train.model.anything.at.all}
        f: !p.Model {size: !@ "train.model.layers[0].size", layers: !@ "data.rows[0]"}
        g: !p.Model {size: !call data.count, name: !@ data.secret}
        h: !p.Model {size: !@ data.width, layers: !@ g}
        i: !p.Model {size: !@ "list[-1]", layers: [!@ i.size, !@ list.0]}
        j: !p.Model {name: !@ data.path}
        k: !call plain.keys
        l: !p.Model [1, [!@ "l[0]"], x]
        """
    )
    assert found == []


def test_unknown_root_is_refused_with_the_nearest_name(stage: Stage) -> None:
    found = stage(
        """
        data: !p.Data
        train: !p.Model {size: !@ dat.labels, layers: !@ zzz}
        """
    )
    assert found == [
        "x.yaml:6:26  pipeline.train.size: no stage or resource is called 'dat'; did you mean 'data'?",
        "x.yaml:6:49  pipeline.train.layers: no stage or resource is called 'zzz'; a link here can "
        "start at 'data' and 'train'",
    ]


def test_link_to_later_stage_is_rejected(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Model {layers: !@ b.size}
        b: !p.Model
        """
    )
    assert found == [
        "x.yaml:5:24  pipeline.a.layers: stage 'b' comes later (x.yaml:6:3); link to a stage above 'a'",
    ]


def test_link_to_a_later_part_of_its_stage_is_rejected(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Trainer
          optimizer: !p.Adam {params: !@ a.model.params}
          model: !p.Model
        """
    )
    assert found == [
        "x.yaml:6:33  pipeline.a.optimizer.params: a.model comes later (x.yaml:7:12); link to "
        "something above",
    ]


def test_link_to_what_is_under_construction_is_rejected(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Trainer
          model: !p.Model {layers: !@ a.model}
          data: !@ a
          optimizer: !p.Adam
            params: !@ a.model.params
            lr: !@ a.best
        b: !@ b
        c: !p.Model {layers: !@ c.layers}
        d: !p.Model {layers: !g [!@ d.layers, 1]}
        e: !p.Model {layers: {x: 1, y: !@ e.layers.x, z: !@ e.layers.w, v: !@ e.modl.x}}
        """
    )
    assert found == [
        "x.yaml:6:30  pipeline.a.model.layers: a.model is still under construction here (it begins at "
        "x.yaml:6:12); link to one of its parts above",
        "x.yaml:7:11  pipeline.a.data: a is still under construction here (it begins at x.yaml:5:6); "
        "link to one of its parts above",
        "x.yaml:10:11  pipeline.a.optimizer.lr: a is still under construction here (it begins at "
        "x.yaml:5:6) and has no part 'best' yet",
        "x.yaml:11:6  pipeline.b: the link points to itself",
        "x.yaml:12:24  pipeline.c.layers: the link points to itself",
        "x.yaml:13:28  pipeline.d.layers: the link points to itself",
        "x.yaml:14:52  pipeline.e.layers.z: e.layers: the mapping has no item 'w'",
        "x.yaml:14:70  pipeline.e.layers.v: e is still under construction here (it begins at "
        "x.yaml:14:6) and has no part 'modl' yet",
    ]


def test_steps_that_cannot_exist_are_rejected(stage: Stage) -> None:
    found = stage(
        """
        plain: {lr: 0.1, sizes: [1, 2]}
        a: !p.Model {size: !@ plain.size, layers: !@ "plain.sizes[2]"}
        b: !p.Model {size: !@ plain.lr.x, layers: !@ "plain[keys]"}
        c: !p.Model {size: !@ "a[siz]", layers: !@ a.__class__}
        d: !call plain.lr
        e: !@ plain.sizes.first
        """
    )
    assert found == [
        "x.yaml:6:22  pipeline.a.size: plain: the mapping has no item 'size'; did you mean 'sizes'?",
        "x.yaml:6:45  pipeline.a.layers: plain.sizes: the list has no item 2; it has 2",
        "x.yaml:7:22  pipeline.b.size: plain.lr: the float there has no item or attribute 'x'",
        "x.yaml:7:45  pipeline.b.layers: plain: the mapping has no item 'keys'",
        "x.yaml:8:22  pipeline.c.size: a: Model has no argument 'siz'; did you mean 'size'?",
        "x.yaml:8:43  pipeline.c.layers: names that start with two underscores cannot be linked",
        "x.yaml:9:6  pipeline.d: plain.lr is 0.1 (float), which cannot be called",
        "x.yaml:10:6  pipeline.e: plain.sizes: the list has no item 'first'; it has 2",
    ]


def test_links_are_judged_by_their_targets(stage: Stage) -> None:
    found = stage(
        """
        data: !p.Data {path: a, size: 4}
        plain: {name: abc, sizes: [1, b]}
        dc: !p.Settings {name: a}
        a: !p.Model {size: !@ data.name}
        b: !p.Model {size: !@ plain.name}
        c: !p.Model {name: !@ data.width}
        d: !p.Model {name: !call data.count}
        e: !p.Model {size: !@ data}
        f: !p.Trainer {model: !@ data}
        g: !p.Model {name: !@ "data[size]", size: !@ b.name}
        h: !p.Model {size: !@ dc.name, name: !@ dc.size}
        i: !p.Model {name: !g [!@ data.labels, x, !@ "plain.sizes[0]"]}
        j: !p.Model {size: !@ a.params}
        k: !p.Model {size: !@ plain.sizes}
        l: !p.Model {size: !@ k.name}
        """
    )
    assert found == [
        "x.yaml:8:22  pipeline.a.size: Model: 'size' must be int, but data.name is a str",
        "x.yaml:9:22  pipeline.b.size: Model: 'size' must be int, but plain.name is 'abc' (str)",
        "x.yaml:10:22  pipeline.c.name: Model: 'name' must be str, but data.width is an int",
        "x.yaml:11:22  pipeline.d.name: Model: 'name' must be str, but data.count is an int",
        "x.yaml:12:22  pipeline.e.size: Model: 'size' must be int, but data is a Data",
        "x.yaml:13:25  pipeline.f.model: Trainer: 'model' must be Model, but data is a Data",
        "x.yaml:14:22  pipeline.g.name: Model: 'name' must be str, but data[size] is 4 (int)",
        "x.yaml:14:45  pipeline.g.size: Model: 'size' must be int, but b.name is '' (str)",
        "x.yaml:15:22  pipeline.h.size: Model: 'size' must be int, but dc.name is a str",
        "x.yaml:15:40  pipeline.h.name: Model: 'name' must be str, but dc.size is an int",
        "x.yaml:16:26  pipeline.i.name: Model: 'name' must be str, but data.labels is an int",
        "x.yaml:16:45  pipeline.i.name: Model: 'name' must be str, but plain.sizes[0] is 1 (int)",
        "x.yaml:17:22  pipeline.j.size: Model: 'size' must be int, but a.params is a list[float]",
        "x.yaml:18:22  pipeline.k.size: Model: 'size' must be int, but plain.sizes is a list",
        "x.yaml:19:22  pipeline.l.size: Model: 'size' must be int, but k.name is '' (str)",
    ]


def test_each_option_of_a_target_is_judged(stage: Stage) -> None:
    found = stage(
        """
        a: !g [!p.Model {name: x}, !p.Data {path: 1}, 3]
        b: !p.Model {size: !@ a}
        c: {x: !g [1, two]}
        d: !p.Model {size: !@ c.x}
        e: !p.Trainer
          model: !g
            - !p.Model {name: a, layers: !@ e.model.name}
            - !p.Model {layers: !@ e.model.layers}
          data: !@ e.model.params
          optimizer: !g [!p.Adam {params: !@ e.model.params}, !@ e.optimizer]
        f: !p.Model {size: !choice [!@ d.name, 1]}
        g: !g [1, !g [2, !@ c.y]]
        """
    )
    assert found == [
        "x.yaml:5:45  pipeline.a.path: Data: 'path' must be str, not 1 (int); put it in quotes",
        "x.yaml:6:22  pipeline.b.size: Model: 'size' must be int, but a is a Model",
        "x.yaml:8:22  pipeline.d.size: Model: 'size' must be int, but c.x is 'two' (str)",
        "x.yaml:12:27  pipeline.e.model.layers: the link points to itself",
        "x.yaml:14:57  pipeline.e.optimizer: the link points to itself",
        "x.yaml:15:31  pipeline.f.size: Model: 'size' must be int, but d.name is '' (str)",
        "x.yaml:16:20  pipeline.g: c: the mapping has no item 'y'",
    ]


def test_what_a_constructor_may_have_changed_is_not_judged(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Data {size: 4}
        b: !p.Table {size: 3}
        c: !p.Dynamic {name: x}
        d: !p.Model {layers: 3}
        e: !p.Model {name: !@ a.size}
        f: !p.Model {name: !@ b.size}
        g: !p.Model {name: !@ d.layers, size: !@ c.whatever}
        """
    )
    assert found == []


def test_the_arguments_of_a_call_are_checked(stage: Stage) -> None:
    found = stage(
        """
        a: !p.Data
        b: !call {target: a.count, args: [!@ zzz]}
        c: !call {target: a.count, kwargs: {of: !@ c, to: !@ a.path}}
        d: !call {target: a.count, args: [!@ a.width]}
        e: !call {target: a.unknown, args: [1]}
        f: !call {target: a.rows, args: [1]}
        """
    )
    assert found == [
        "x.yaml:6:37  pipeline.b[0]: no stage or resource is called 'zzz'; a link here can start at "
        "'a' and 'b'",
        "x.yaml:7:43  pipeline.c.of: c is still under construction here (it begins at x.yaml:7:6); "
        "link to one of its parts above",
        "x.yaml:7:49  pipeline.c.to: a.count has no argument 'to'; it has 'of'",
        "x.yaml:8:37  pipeline.d[0]: a.count: 'of' must be str, but a.width is an int",
        "x.yaml:9:39  pipeline.e[0]: a.unknown takes no arguments, but 1 is given",
    ]
