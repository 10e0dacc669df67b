"""The speed of Flambé's SRU over that of the `sru` package on the CPU, side by side in one process.

    python benchmarks/sru_speed.py [--threads 1 2] [--seconds 30] [--layers 4] [--units 256] [--batch 64]
        [--length 24]

The two take turns, run by run, with the same parameters on the same batch, so that whatever else the machine
does slows both. For each number of threads and each task it prints the median of the pairs'
`time of the package / time of Flambé` by the clock and by the CPU time of the process, and the median and the
shortest times in ms. The tasks:

- training: forward, backward to parameters and input. The package's path for it is a Python loop.
- training, padded: the same where lengths vary as those of TREC's questions do (mean 10); the package
  computes padding, Flambé leaves it out.
- forward: with gradients enabled, without the backward pass.
- inference: without gradients. The package runs a C++ loop for it, compiled when it is first imported.

`products` is what the matrix products alone take of a training step, which both need: by torch's `linear`, as
the package computes them, and by oneDNN, as Flambé does. The first run on a machine compiles Flambé's loops,
which is not timed.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch

from flambe_nlp.sru import SRU, products

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sru

Task = Callable[[torch.nn.Module], object]


def main() -> None:
    options = parsed()
    for threads in options.threads:
        torch.set_num_threads(threads)
        compare(threads, options)


def compare(threads: int, options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    sizes = (options.units, options.units, options.layers)
    ours, package = SRU(*sizes), sru.SRU(*sizes)
    ours.load_state_dict(package.state_dict())
    tasks = tasks_of(options)
    for name, task in tasks.items():
        times = take_turns(lambda: task(package), lambda: task(ours), options.seconds / len(tasks))  # noqa: B023
        print(f"{threads} thread{'s'[: threads > 1]}, {name:18}", report(times), flush=True)
    print(f"{threads} thread{'s'[: threads > 1]}, products{'':10}", products_alone(options), flush=True)


def tasks_of(options: argparse.Namespace) -> dict[str, Task]:
    x = torch.randn(options.length, options.batch, options.units, requires_grad=True)  # (T, B, units)
    lengths = torch.distributions.Gamma(7.0, 1 / 1.45).sample((options.batch,)).clamp(3, options.length)
    lengths[0] = options.length
    pad = torch.arange(options.length)[:, None] >= lengths.round()[None]  # (T, B)

    def train(model: torch.nn.Module, mask_pad: torch.Tensor | None = None) -> None:
        model.train()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's, of running on the CPU
            h, last = model(x, mask_pad=mask_pad)
        (h.sum() + last.sum()).backward()

    def forward(model: torch.nn.Module) -> None:
        model.train()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model(x)

    @torch.no_grad()
    def infer(model: torch.nn.Module) -> None:
        model.eval()
        model(x)

    padded: Task = lambda model: train(model, pad)  # noqa: E731
    return {"training": train, "training, padded": padded, "forward": forward, "inference": infer}


def take_turns(
    first: Callable[[], object], second: Callable[[], object], seconds: float
) -> list[tuple[float, float, float, float]]:
    """Clock and CPU seconds of each first run and of the second run after it."""
    for _ in range(3):
        first(), second()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        times.append((*timed(first), *timed(second)))
    return times


def timed(run: Callable[[], object]) -> tuple[float, float]:
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cpu


def report(times: list[tuple[float, float, float, float]]) -> str:
    by_clock = statistics.median(pair[0] / pair[2] for pair in times)
    by_cpu = statistics.median(pair[1] / pair[3] for pair in times)
    package, ours = ([pair[i] * 1e3 for pair in times] for i in (0, 2))
    return (
        f"{by_clock:5.2f} × by the clock, {by_cpu:5.2f} × by CPU time; ms: "
        f"package {statistics.median(package):6.1f} (min {min(package):6.1f}), "
        f"Flambé {statistics.median(ours):6.1f} (min {min(ours):6.1f}); {len(times)} pairs"
    )


def products_alone(options: argparse.Namespace) -> str:
    """The times of the three products of all layers of a training step, by torch and by Flambé."""
    x = torch.randn(options.length * options.batch, options.units)
    weight, bias = torch.randn(3, options.units, options.units), torch.zeros(3, options.units)
    flat, grad = weight.flatten(0, 1), torch.randn(len(x), 3, options.units)

    def by_torch() -> None:
        for _ in range(options.layers):
            torch.nn.functional.linear(x, flat), grad.flatten(1) @ flat, grad.flatten(1).T @ x

    def ours() -> None:
        for _ in range(options.layers):
            products.forward(x, weight, bias), products.backward(grad, x, weight, (True, True))

    times = take_turns(by_torch, ours, 2.0)
    return ", ".join(
        f"{name} {statistics.median(ms):6.1f} (min {min(ms):6.1f})"
        for name, ms in (("ms: torch", [t[0] * 1e3 for t in times]), ("Flambé", [t[2] * 1e3 for t in times]))
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="SRU against the package sru, on the CPU")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=30.0, help="for each number of threads")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=24)
    return parser.parse_args()


if __name__ == "__main__":
    main()
