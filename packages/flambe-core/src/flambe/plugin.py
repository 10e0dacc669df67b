"""What core itself brings, through the same hooks as every plugin."""

from __future__ import annotations

from flambe.registry.hookspecs import ComponentRegister, Register, hookimpl


@hookimpl
def flambe_register_components(register: ComponentRegister) -> None:
    """The experiment: the runnable that a config holds unless it says otherwise; a stage for any script."""
    register.tag("Experiment", "flambe.experiment.experiment:Experiment")
    register.tag("Exporter", "flambe.stages.exporter:Exporter")
    register.tag("Script", "flambe.stages.script:Script")


@hookimpl
def flambe_register_executors(register: Register) -> None:
    """The executors of this machine."""
    register("local", "flambe.executors.local:Local", help="this process for a lone trial, else a pool")
    register("in-process", "flambe.executors.in_process:InProcess", help="one trial after the other, here")
    register("pool", "flambe.executors.pool:Pool", help="reused worker processes")


@hookimpl
def flambe_register_frameworks(register: Register) -> None:
    """Random numbers of the standard library and NumPy."""
    register("python", "flambe.trials.frameworks:PythonRandom")
    register("numpy", "flambe.trials.frameworks:NumpyRandom", needs="numpy")


@hookimpl
def flambe_register_commands(register: Register) -> None:
    """The commands on configs, runs and plugins."""
    register("run", "flambe.cli.run:command", help="Check a config, run its pipeline, show the results.")
    register("check", "flambe.cli.check:command", help="Find everything that is wrong in a config.")
    register("plan", "flambe.cli.plan:command", help="Show a config's stages and variants; run nothing.")
    register("show", "flambe.cli.show:command", help="Show a run's variants, best first.")
    register("trials", "flambe.cli.trials:command", help="List a run's trials as they are now.")
    register("stop", "flambe.cli.stop:command", help="End a trial of a run that is going, and save it.")
    register("pause", "flambe.cli.pause:command", help="Let a trial of a run that is going wait.")
    register("resume", "flambe.cli.resume:command", help="Let a trial that was paused go on.")
    register("set", "flambe.cli.set:command", help="Give a running trial new values.")
    register("extend", "flambe.cli.extend:command", help="Have a run try more variants of a stage.")
    register("compare", "flambe.cli.compare:command", help="Compare the best variants of runs.")
    register("export", "flambe.cli.export:command", help="Copy a saved object out of a run.")
    register("describe", "flambe.cli.describe:command", help="Show what a tag builds and its arguments.")
    register("plugins", "flambe.cli.plugins:command", help="List the plugins and what they bring.")
    register("new", "flambe.cli.new:command", help="Start an extension of your own.")
    register("completion", "flambe.cli.completion:command", help="Print a shell's completion script.")


@hookimpl
def flambe_register_storage(register: Register) -> None:
    """Folders of this machine; fsspec serves every protocol that no plugin registers."""
    register("file", "flambe.storage.local:LocalStorage", help="a local folder")
