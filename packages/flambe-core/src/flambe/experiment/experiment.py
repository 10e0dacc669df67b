"""`Experiment`: a pipeline of stages, from a config or from Python, checked and run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from flambe.check import check
from flambe.errors import ConfigError, RunError
from flambe.executors.protocol import Executor
from flambe.experiment.engine import Engine, Ingredients, Update
from flambe.experiment.fingerprint import versions_of
from flambe.experiment.interrupt import interruptible
from flambe.experiment.journal import JOURNAL, TrialRecord
from flambe.experiment.machine import describe_run, total_devices
from flambe.experiment.plan import LIMIT, Plan, Statuses
from flambe.experiment.reading import read_run
from flambe.experiment.reuse import Reuse, foresee
from flambe.experiment.run_folder import CONFIG, RUN, RunFolder
from flambe.experiment.settings import Settings, settings_from
from flambe.experiment.share import devices_of, threads_of
from flambe.experiment.stage_run import StageRun, stage_runs
from flambe.language import nodes
from flambe.language.header import Header
from flambe.language.python import to_node
from flambe.language.read import Document, read_file
from flambe.language.walk import walk
from flambe.language.write import write_text
from flambe.registry.extensions import ensure
from flambe.registry.registry import Registry
from flambe.storage.storage import open_storage
from flambe.trials.protocol import Setting, TrialKey
from flambe.trials.resources import locate
from flambe.variants.space import StageSpace

Observe = Callable[[Update], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        folder: Where its results lie.
        stages: The stages' names, in order.
        records: What became of each trial.
        chosen: For each reduced stage, the variants that flowed on, best first.
        reused: The trials that an earlier run had finished.
        problems: What went wrong beside failed trials, such as too few variants for a `reduce`.
    """

    folder: str
    stages: tuple[str, ...]
    records: Mapping[TrialKey, TrialRecord]
    chosen: Mapping[str, tuple[str, ...]]
    reused: frozenset[TrialKey]
    problems: tuple[str, ...]
    interrupted: bool = False

    @property
    def failed(self) -> list[TrialRecord]:
        return [record for record in self.records.values() if record.status == "failed"]

    @property
    def exit_code(self) -> int:
        """0 when everything ended well, 130 after an interrupt, 1 when something failed."""
        if self.interrupted:
            return 130
        return 1 if self.failed or self.problems else 0


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
            resources = locate(settings.resources, folder=Path(self._document.file).parent)
            stages = stage_runs(settings.pipeline, stage_spaces(settings), settings.reduce)
            statuses = foresee(stages, reuse_of(settings, read_run(storage.url).records, registry, resources))
            winners = {name: [v.id for v in stage.chosen] for name, stage in stages.items() if stage.chosen}
        return _plan(settings, winners), statuses

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
            observe: Called with each change of a trial.
            started: Called with the folder and the stages once the run begins.

        Raises:
            ConfigError: the config is wrong; `problems` lists everything.
            RunError: the folder holds other results, or another run writes to it.
        """
        registry = prepare(self._document, install=install, secrets=secrets, progress=progress)
        settings = self.settings
        _refuse_too_many(settings)
        spaces = stage_spaces(settings)
        stages = stage_runs(settings.pipeline, spaces, settings.reduce)
        storage = open_storage(settings.save_path, registry.storage).within(f"output__{settings.name}")
        with ExitStack() as stack:
            stack.callback(storage.close)
            stack.enter_context(storage.lock())
            folder = RunFolder(storage)
            earlier = folder.open(resume=resume or bool(settings.resume), force=force)
            resources = locate(settings.resources, folder=Path(self._document.file).parent)
            setting = Setting(
                name=settings.name,
                folder=storage.url,
                seed=settings.seed,
                header=registry.aliases,
                secrets=secrets or {},
                resources=resources,
                hidden=tuple(_hidden(self._document.root, secrets or {})),
                modules=tuple(dict.fromkeys(_modules(self._document.root, registry))),
            )
            devices = total_devices()
            executor = _executor(registry, settings, backend, debug=debug)
            stack.callback(executor.close)
            executor.start(setting, devices, at_once=_at_once(settings, spaces))
            sinks = registry.sinks()
            for sink in sinks:
                sink.open(storage.url, merge_plot=settings.merge_plot)
                stack.callback(sink.close)
            engine = Engine(
                Ingredients(
                    settings=settings,
                    stages=stages,
                    executor=executor,
                    setting=setting,
                    folder=folder,
                    reuse=reuse_of(settings, earlier, registry, resources),
                    devices_of=devices_of(settings, devices),
                    threads_of=threads_of(settings, spaces, devices),
                    sinks=sinks,
                    observe=observe,
                )
            )
            about = describe_run(settings, self._document.file)
            storage.write(CONFIG, self.to_yaml().encode())
            folder.write_json(RUN, {**about, "status": "running"})
            folder.journal.write("run", durable=True, stages=list(stages), **about)
            started(storage.url, stages)
            with interruptible(engine.interrupt):
                engine.run()
            outcome = Outcome(
                folder=storage.url,
                stages=tuple(stages),
                records=engine.records,
                chosen={name: tuple(v.id for v in s.chosen) for name, s in stages.items() if s.chosen},
                reused=frozenset(engine.reused),
                problems=tuple(engine.problems),
                interrupted=engine.interrupted,
            )
            status = {0: "done", 1: "failed", 130: "interrupted"}[outcome.exit_code]
            folder.journal.write("ended", durable=True, status=status)
            folder.write_json(RUN, {**about, "status": status})
        return outcome


def prepare(
    document: Document,
    *,
    install: bool = False,
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Registry:
    """The registry for a config, once the config was checked.

    Raises:
        ConfigError: with everything that is wrong, if anything is.
    """
    if install:
        ensure(document.header, install=True, progress=progress)
    registry = Registry.load().with_header(document.header)
    problems = check(document, registry, secrets=secrets)
    if any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return registry


def stage_spaces(settings: Settings) -> dict[str, StageSpace]:
    """Each stage's variants as a space, in the order of the pipeline."""
    made: dict[str, StageSpace] = {}
    for name, node in settings.pipeline.items():
        made[name] = StageSpace(
            name, node, stages=tuple(made), seed=settings.seed, num_samples=settings.samples_of(name)
        )
    return made


def _plan(settings: Settings, winners: Mapping[str, Sequence[str]]) -> Plan:
    return Plan.of(
        settings.pipeline,
        seed=settings.seed,
        num_samples=settings.num_samples,
        reduce=settings.reduce,
        search=settings.search,
        winners=winners,
    )


def _refuse_too_many(settings: Settings) -> None:
    """A run keeps a record of each trial: more than can be listed cannot be run either."""
    for stage in _plan(settings, {}).stages.values():
        if stage.many:
            raise RunError(
                f"stage {stage.name} has {stage.count} variants, and a run holds at most {LIMIT:,}: "
                "try fewer options, or draw from distributions with num_samples"
            )


def reuse_of(
    settings: Settings,
    earlier: Mapping[TrialKey, TrialRecord],
    registry: Registry,
    resources: Mapping[str, str],
) -> Reuse:
    """What decides which of an earlier run's trials still fit."""
    return Reuse(
        settings=settings,
        earlier=earlier,
        versions={name: versions_of(node, registry) for name, node in settings.pipeline.items()},
        resources={name: _linked_resources(node, resources) for name, node in settings.pipeline.items()},
        keep=frozenset(settings.resume) if isinstance(settings.resume, tuple) else frozenset(),
    )


def _at_once(settings: Settings, spaces: Mapping[str, StageSpace]) -> int | None:
    """1 where each stage has one variant and links to the one before it; None where that is open."""
    chained = all(before in spaces[name].needs for before, name in pairwise(spaces))
    alone = not settings.search and all(space.own_count == 1 for space in spaces.values())
    return 1 if chained and alone else None


def _executor(registry: Registry, settings: Settings, backend: str, *, debug: bool) -> Executor:
    if debug:
        return _made(registry, "in-process")
    if backend == "auto":
        wanted = [*settings.search.values(), *settings.schedulers.values()]
        backend = "ray" if wanted or settings.manager is not None else "local"
    return _made(registry, backend)


def _made(registry: Registry, name: str) -> Executor:
    executor: Executor = registry.executor(name)()
    return executor


def _hidden(root: nodes.Node, secrets: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """The texts that the config's `!env` and `!secret` stand for."""
    for _, found in walk(root):
        if isinstance(found, nodes.Environment):
            yield os.environ.get(found.name, "")
        elif isinstance(found, nodes.Secret):
            yield secrets.get(found.section, {}).get(found.key, "")


def _modules(root: nodes.Node, registry: Registry) -> Iterator[str]:
    """The modules of what the config builds, which workers import before their first trial."""
    for _, found in walk(root):
        if isinstance(found, nodes.Build):
            module = getattr(registry.resolve(found.tag).value, "__module__", None)
            if module is not None:
                yield module


def _linked_resources(node: nodes.Node, resources: Mapping[str, str]) -> dict[str, str]:
    roots = {found.path.root for _, found in walk(node) if isinstance(found, nodes.Link)}
    return {name: location for name, location in resources.items() if name in roots}
