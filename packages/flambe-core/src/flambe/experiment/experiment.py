"""`Experiment`: a pipeline of stages, from a config or from Python, checked and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flambe.experiment.ingredients import Update
from flambe.experiment.journal import JOURNAL
from flambe.experiment.plan import Plan, Statuses
from flambe.experiment.preparing import plan_of, prepare, reuse_of, stage_spaces
from flambe.experiment.reading import read_run
from flambe.experiment.reuse import foresee
from flambe.experiment.session import Outcome, Session, Wishes
from flambe.experiment.settings import Settings, settings_from
from flambe.experiment.stage_run import StageRun, stage_runs
from flambe.language import nodes
from flambe.language.header import Header
from flambe.language.python import to_node
from flambe.language.read import Document, read_file
from flambe.language.write import write_text
from flambe.storage.storage import open_storage
from flambe.trials.resources import locate

Observe = Callable[[Update], None]


class Experiment:
    """A pipeline of stages with searchable values.

    Args:
        name: The name of the run's folder.
        pipeline: The stages in order, each a node (`flambe.stage(…)`) or a plain value.
        settings: Any other key of an experiment's config: `reduce`, `search`, `devices`, `seed`, …

    Example:
        >>> from flambe import Experiment, grid, link, stage
        >>> experiment = Experiment("sums", pipeline={"numbers": [1, 2], "more": grid([3, 4])})
        >>> print(experiment.to_yaml())
        !Experiment
        name: sums
        pipeline:
          numbers: [1, 2]
          more: !g [3, 4]
        <BLANKLINE>
    """

    def __init__(self, name: str, pipeline: Mapping[str, Any], **settings: Any) -> None:
        arguments = to_node({"name": name, "pipeline": dict(pipeline), **settings})
        self._document = Document(nodes.Build("Experiment", arguments), Header(()), (), "", "<python>")

    @classmethod
    def from_document(cls, document: Document) -> Experiment:
        """The experiment that a config writes."""
        made = cls.__new__(cls)
        made._document = document
        return made

    @classmethod
    def from_file(cls, path: str) -> Experiment:
        """The experiment that the config at `path` writes.

        Raises:
            ConfigError: nothing can be read from it.
        """
        return cls.from_document(read_file(path))

    @property
    def document(self) -> Document:
        return self._document

    @property
    def settings(self) -> Settings:
        return settings_from(self._document.root)

    def to_yaml(self) -> str:
        """The config as text; reading it gives equal nodes."""
        return write_text(self._document.root, self._document.header)

    def plan(self, *, secrets: Mapping[str, Mapping[str, str]] | None = None) -> tuple[Plan, Statuses]:
        """What a run would do, and what a resume in its folder would reuse. Nothing is run.

        Raises:
            ConfigError: the config is wrong.
        """
        registry = prepare(self._document, secrets=secrets)
        settings = self.settings
        storage = open_storage(settings.save_path, registry.storage).within(f"output__{settings.name}")
        statuses: Statuses = {}
        winners: dict[str, list[str]] = {}
        if storage.exists(JOURNAL):
            left = read_run(storage.url)
            settings = settings.extended(left.extensions)
            resources = locate(settings.resources, folder=Path(self._document.file).parent)
            stages = stage_runs(
                settings.pipeline, stage_spaces(settings), settings.reduce, settings.searched()
            )
            reuse = reuse_of(settings, left.records, registry, resources)
            unlisted = [name for name, stage in plan_of(settings, {}).stages.items() if stage.too_many]
            statuses = foresee(stages, reuse, unlisted=unlisted)
            winners = {name: [v.id for v in stage.chosen] for name, stage in stages.items() if stage.chosen}
        return plan_of(settings, winners), statuses

    def run(
        self,
        *,
        resume: bool = False,
        force: bool = False,
        backend: str = "auto",
        install: bool = False,
        progress: Callable[[str], None] | None = None,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
        debug: bool = False,
        options: Mapping[str, str] | None = None,
        observe: Observe = lambda update: None,
        started: Callable[[str, Mapping[str, StageRun]], None] = lambda folder, stages: None,
    ) -> Outcome:
        """Check and run everything; returns when all trials have ended or were interrupted.

        Args:
            resume: Reuse what an earlier run in the same folder finished, and go on with the rest.
            force: Delete an earlier run's results first.
            backend: `auto`, or the name of an executor (`local`, `ray`, …).
            install: Install the header's extensions that are missing.
            progress: Called with a line for each extension that is installed.
            secrets: What `!secret section.key` refers to.
            debug: Run in this process, so that a debugger and breakpoints work.
            options: Options of an executor, by their names on the command line: `{"ray-address": "…"}`.
            observe: Called with each change of a trial.
            started: Called with the folder and the stages once the run begins.

        Raises:
            ConfigError: the config is wrong; `problems` lists everything.
            RunError: the folder holds other results, or another run writes to it.
        """
        registry = prepare(self._document, install=install, secrets=secrets, progress=progress)
        wishes = Wishes(resume, force, backend, debug, secrets or {}, observe, started, options or {})
        return Session(self._document, registry, wishes).run()
