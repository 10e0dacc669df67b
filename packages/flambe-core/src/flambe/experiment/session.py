"""One run, from the checked config to its outcome."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from flambe.errors import ConfigError, Problem, RunError
from flambe.executors.devices import available
from flambe.executors.protocol import Executor
from flambe.experiment.briefs import briefs
from flambe.experiment.engine import Engine
from flambe.experiment.ingredients import Ingredients, Update
from flambe.experiment.interrupt import interruptible
from flambe.experiment.journal import TrialRecord
from flambe.experiment.machine import describe_run
from flambe.experiment.preparing import refuse_too_many, reuse_of, stage_spaces
from flambe.experiment.run_folder import CONFIG, RUN, RunFolder
from flambe.experiment.searching import NewSearch
from flambe.experiment.settings import settings_from
from flambe.experiment.share import at_once, cores, devices_of, threads_of, threads_wanted
from flambe.experiment.stage_run import StageRun, stage_runs
from flambe.language import nodes
from flambe.language.read import Document
from flambe.language.walk import walk
from flambe.language.write import write_text
from flambe.logs import MetricSink
from flambe.registry.registry import Registry
from flambe.storage.storage import open_storage
from flambe.trials.protocol import Setting, TrialKey
from flambe.trials.resources import locate

_OFFERED_BY = {"search": "search", "schedulers": "recall"}
"""The method that an executor has which heeds a key of the config."""


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
    def status(self) -> str:
        """`done`, `failed` or `interrupted`."""
        return {0: "done", 1: "failed", 130: "interrupted"}[self.exit_code]

    @property
    def exit_code(self) -> int:
        """0 when everything ended well, 130 after an interrupt, 1 when something failed."""
        if self.interrupted:
            return 130
        return 1 if self.failed or self.problems else 0


@dataclass(frozen=True)
class Wishes:
    """How a run was asked for; see `Experiment.run`."""

    resume: bool
    force: bool
    backend: str
    debug: bool
    secrets: Mapping[str, Mapping[str, str]]
    observe: Callable[[Update], None]
    started: Callable[[str, Mapping[str, StageRun]], None]
    options: Mapping[str, str] = field(default_factory=dict)


class Session:
    """Holds together what a run works with while it lasts: folder, executor, sinks, engine."""

    def __init__(self, document: Document, registry: Registry, wishes: Wishes) -> None:
        self._document = document
        self._registry = registry
        self._wishes = wishes
        self._settings = settings_from(document.root)
        refuse_too_many(self._settings)
        self._spaces = stage_spaces(self._settings)
        self._stages = stage_runs(
            self._settings.pipeline, self._spaces, self._settings.reduce, self._settings.searched()
        )
        self._resources = locate(self._settings.resources, folder=Path(document.file).parent)
        self._machines: Sequence[Mapping[str, float]] = [available()]

    def run(self) -> Outcome:
        """Run everything in the run's folder, which belongs to this run alone until it ends."""
        self._refuse_what_is_not_done()
        storage = open_storage(self._settings.save_path, self._registry.storage)
        storage = storage.within(f"output__{self._settings.name}")
        with ExitStack() as stack:
            stack.callback(storage.close)
            stack.enter_context(storage.lock())
            folder = RunFolder(storage)
            resume = self._wishes.resume or bool(self._settings.resume)
            earlier = folder.open(resume=resume, force=self._wishes.force)
            for stage, samples in folder.extensions.items():
                if stage in self._stages:
                    self._stages[stage].extend(samples)
            early = threading.Event()
            with interruptible(early.set):  # what an executor starts may not survive half a start
                executor = self._start_executor(storage.url)
            stack.callback(executor.close)
            machines: Callable[[], Sequence[Mapping[str, float]]]
            machines = getattr(executor, "machines", lambda: self._machines)
            shares = devices_of(self._settings, machines())
            if self._wishes.force:
                folder.clear()  # not before it is certain that this run can start
            engine = Engine(
                Ingredients(
                    settings=self._settings,
                    stages=self._stages,
                    executor=executor,
                    registry=self._registry,
                    folder=folder,
                    reuse=reuse_of(self._settings, earlier, self._registry, self._resources),
                    devices_of=shares,
                    at_once=lambda stage: at_once(shares[stage], machines()),
                    new_search=self._new_search(executor),
                    threads_of=threads_of(
                        self._settings,
                        self._spaces,
                        cores(machines()),
                        most=threads_wanted(os.environ),
                    ),
                    sinks=self._open_sinks(storage.url, stack),
                    observe=self._wishes.observe,
                )
            )
            if early.is_set():
                engine.interrupt()
            return self._drive(engine, folder)

    def _drive(self, engine: Engine, folder: RunFolder) -> Outcome:
        """Run the engine, with the run's own files written around it."""
        about = describe_run(self._settings, self._document.file)
        folder.journal.write("run", durable=True, stages=list(self._stages), **about)
        text = write_text(self._document.root, self._document.header)
        folder.storage.write(CONFIG, text.encode(), durable=False)
        folder.write_json(RUN, {**about, "status": "running"})
        self._wishes.started(folder.storage.url, self._stages)
        with interruptible(engine.interrupt):
            engine.run()
        outcome = self._outcome(engine, folder.storage.url)
        left_out = engine.left_out()
        more = {"left_out": left_out} if left_out else {}
        folder.journal.write("ended", durable=True, status=outcome.status, **more)
        folder.write_json(RUN, {**about, "status": outcome.status})
        return outcome

    def _outcome(self, engine: Engine, url: str) -> Outcome:
        chosen = {name: stage.chosen for name, stage in self._stages.items() if stage.chosen}
        return Outcome(
            folder=url,
            stages=tuple(self._stages),
            records=engine.records,
            chosen={name: tuple(variant.id for variant in best) for name, best in chosen.items()},
            reused=frozenset(engine.reused),
            problems=tuple(engine.problems),
            interrupted=engine.interrupted,
        )

    def _at_once(self) -> int | None:
        """1 where each stage has one variant and links to the one before it; None where that is open.

        A lone trial with a limit of time needs a process of its own, which can be killed.
        """
        spaces = {name: stage.space for name, stage in self._stages.items()}
        chained = all(before in spaces[name].needs for before, name in pairwise(spaces))
        alone = not self._settings.search and all(space.own_count == 1 for space in spaces.values())
        return 1 if chained and alone and self._settings.trial_timeout is None else None

    def _start_executor(self, folder: str) -> Executor:
        setting = Setting(
            name=self._settings.name,
            folder=folder,
            seed=self._settings.seed,
            header=self._registry.aliases,
            secrets=self._wishes.secrets,
            resources=self._resources,
            hidden=tuple(_hidden(self._document.root, self._wishes.secrets)),
            modules=tuple(dict.fromkeys(_modules(self._document.root, self._registry))),
            stages=briefs(self._settings, self._registry),
            options=self._wishes.options,
            environment=_environment(self._document.root),
        )
        executor: Executor = self._registry.executor(self._backend())()
        executor.start(setting, self._machines[0], at_once=self._at_once())
        return executor

    def _new_search(self, executor: Executor) -> NewSearch | None:
        new: NewSearch | None = getattr(executor, "search", None)
        return new

    def _refuse_what_is_not_done(self) -> None:
        """Nothing that the config asks for is left out silently.

        Raises:
            ConfigError: the executor runs no schedulers or searches, and there are some.
            RunError: there is a limit of time, and trials of the executor cannot be killed.
        """
        name = self._backend()
        offered = self._registry.executor(name)
        wanted = {"search": self._settings.search, "schedulers": self._settings.schedulers}
        lacking = [key for key, method in _OFFERED_BY.items() if wanted[key] and not hasattr(offered, method)]
        if lacking:
            option = "--debug" if self._wishes.debug else f"--backend {name}"
            raise ConfigError([_not_done(key, name, wanted[key], option) for key in lacking])
        if self._settings.trial_timeout is not None and self._wishes.backend == "in-process":
            raise RunError(
                "trial_timeout: a trial in this process cannot be killed; use --backend pool, or leave it out"
            )

    def _backend(self) -> str:
        """The executor's name: Ray where a stage asks for what only it has, or a cluster is named."""
        if self._wishes.debug:
            return "in-process"
        backend = self._wishes.backend
        for option in self._wishes.options:
            owner = self._registry.executor_of(option)
            if backend not in ("auto", owner):
                raise RunError(f"--{option} is an option of the executor {owner!r}, not of {backend!r}")
            backend = owner
        if backend != "auto":
            return backend
        wanted = [*self._settings.search, *self._settings.schedulers]
        return "ray" if wanted or self._settings.manager is not None else "local"

    def _open_sinks(self, url: str, stack: ExitStack) -> list[MetricSink]:
        sinks = self._registry.sinks()
        for sink in sinks:
            sink.open(url, merge_plot=self._settings.merge_plot)
            stack.callback(sink.close)
        return sinks


def _not_done(key: str, executor: str, wanted: Mapping[str, nodes.Node], option: str) -> Problem:
    stage, node = next(iter(wanted.items()))
    return Problem(
        f"the executor {executor!r} does no {key}; leave out {option} (then Ray is used), "
        f"or run without: {key}={{}}",
        node.position,
        path=f"{key}.{stage}",
    )


def _hidden(root: nodes.Node, secrets: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """The texts that the config's `!env` and `!secret` stand for."""
    yield from _environment(root).values()
    for _, found in walk(root):
        if isinstance(found, nodes.Secret):
            yield secrets.get(found.section, {}).get(found.key, "")


def _environment(root: nodes.Node) -> dict[str, str]:
    """What the config's `!env` stand for, by name."""
    names = {found.name for _, found in walk(root) if isinstance(found, nodes.Environment)}
    return {name: os.environ[name] for name in sorted(names & os.environ.keys())}


def _modules(root: nodes.Node, registry: Registry) -> Iterator[str]:
    """The modules of what the config builds, which workers import before their first trial."""
    for _, found in walk(root):
        if isinstance(found, nodes.Build):
            module = getattr(registry.resolve(found.tag).value, "__module__", None)
            if module is not None:
                yield module
