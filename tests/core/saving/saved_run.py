"""Objects built from configs and saved in trial folders, as a run does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flambe.build.builder import Builder
from flambe.build.links import follow
from flambe.language.links import LinkPath
from flambe.language.nodes import Node
from flambe.language.read import read_text
from flambe.registry.registry import Registry
from flambe.saving.trial_folder import TrialFolder


class Run:
    """A pipeline, stage by stage, each finished one saved in its trial's folder."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder = folder
        self.registry = registry
        self.stages: dict[str, Any] = {}
        self.nodes: dict[str, Node] = {}

    def build(self, stage: str, text: str) -> Any:
        document = read_text(text, any_root=True)
        assert not document.problems
        self.nodes[stage] = document.root
        builder = Builder(self.registry, stage=stage, outside=self.outside)
        self.stages[stage] = builder.build(document.root)
        return self.stages[stage]

    def outside(self, path: LinkPath) -> Any:
        return follow(self.stages[path.root], path)

    def folder_of(self, stage: str) -> Path:
        return self.folder / stage / "default"

    def trial(self, stage: str, upstream: Mapping[str, str] | None = None) -> TrialFolder:
        others = {name: "default" for name in self.stages if name != stage}
        return TrialFolder(
            str(self.folder_of(stage)),
            self.registry,
            node=self.nodes[stage],
            upstream=others if upstream is None else upstream,
            outside=self.outside,
        )

    def finish(self, stage: str, text: str, change: Callable[[Any], None] | None = None) -> Any:
        made = self.build(stage, text)
        if change is not None:
            change(made)
        self.folder_of(stage).mkdir(parents=True)
        (self.folder_of(stage) / "trial.json").write_text("{}")
        self.trial(stage).write_finished(made)
        return made
