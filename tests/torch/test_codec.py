"""Torch state in saves, and tensors on their way to other processes."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flambe import saving
from flambe.build.builder import Builder
from flambe.component import Component
from flambe.errors import DamagedSaveError, SavingError
from flambe.executors.handover import HandOver
from flambe.language.links import LinkPath
from flambe.language.read import read_text
from flambe.registry.registry import Registry
from flambe.saving.trial_folder import TrialFolder
from flambe_torch.codec import TorchCodec


class Encoder(nn.Module, Component):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)
        self.norm = nn.BatchNorm1d(size)
        self.seen = 0

    def custom_state(self) -> Mapping[str, Any]:
        return {"seen": self.seen, "history": np.arange(3), "best": torch.ones(2)}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        assert state["history"].tolist() == [0, 1, 2]
        assert isinstance(state["best"], torch.Tensor)
        self.seen = state["seen"]


class Decoder(nn.Module, Component):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))


class Model(nn.Module, Component):
    def __init__(self, encoder: nn.Module, decoders: list[nn.Module], extra: int = 2) -> None:
        super().__init__()
        self.encoder, self.decoders = encoder, nn.ModuleList(decoders)
        self.alias = encoder
        self.scale = nn.Parameter(torch.randn(extra))
        self.tied = self.scale


class Holder(Component):
    """No torch class itself, but its state holds a tensor."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights
        self.last = torch.zeros(1)

    def custom_state(self) -> Mapping[str, Any]:
        return {"last": self.last}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.last = state["last"]


@pytest.fixture
def model() -> Model:
    made = Model(Encoder(3), [Decoder(2), Decoder(4)])
    made.encoder.seen = 7
    made.encoder.norm(torch.randn(5, 3))
    return made


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    saving.save(model, tmp_path / "s")
    return tmp_path / "s"


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[key], second[key]) for key in first)


def keys(file: Path) -> list[str]:
    return list(torch.load(file, weights_only=True))


def test_each_part_holds_its_own_state_and_not_its_childrens(folder: Path) -> None:
    assert keys(folder / "state.pt") == ["scale", "tied"]
    assert keys(folder / "decoders" / "1" / "state.pt") == ["weight"]
    assert keys(folder / "encoder" / "state.pt") == [
        "layer.weight",
        "layer.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
        "custom_state",
    ]
    assert not list(folder.rglob("state.json"))


def test_a_part_without_custom_state_is_a_plain_state_dict(folder: Path, model: Model) -> None:
    fresh = Decoder(4)
    fresh.load_state_dict(torch.load(folder / "decoders" / "1" / "state.pt", weights_only=True))
    assert same(fresh, model.decoders[1])


def test_the_whole_and_every_part_load(folder: Path, model: Model) -> None:
    loaded = saving.load(folder)
    assert same(loaded, model)
    assert loaded.encoder.seen == 7
    assert loaded.tied is loaded.scale
    assert same(saving.load(folder / "encoder"), model.encoder)
    assert same(saving.load(folder / "decoders" / "0"), model.decoders[0])


def test_state_loads_into_a_live_module_in_place(folder: Path, model: Model) -> None:
    fresh = Model(Encoder(3), [Decoder(2), Decoder(4)])
    weight = fresh.encoder.layer.weight
    saving.load_state(fresh, folder)
    assert same(fresh, model)
    assert fresh.encoder.layer.weight is weight


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_come_back_in_their_type(dtype: torch.dtype, tmp_path: Path, model: Model) -> None:
    saving.save(model.to(dtype), tmp_path / "s")
    live = Model(Encoder(3), [Decoder(2), Decoder(4)])
    saving.load_state(live, tmp_path / "s")
    for loaded in (live, saving.load(tmp_path / "s")):
        assert {weight.dtype for weight in loaded.parameters()} == {dtype}
        assert same(loaded, model)
        assert loaded.encoder.norm.num_batches_tracked.dtype is torch.int64
        assert loaded.tied is loaded.scale


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    small, big = Model(Encoder(1), [], extra=1), Model(Encoder(1), [], extra=50_000)
    saving.save(small, tmp_path / "small")
    saving.save(big, tmp_path / "big")
    sizes = [(tmp_path / name / "state.pt").stat().st_size for name in ("small", "big")]
    assert 200_000 <= sizes[1] - sizes[0] < 300_000


@pytest.mark.parametrize(
    ("fresh", "message"),
    [
        (
            lambda: Model(Encoder(4), [Decoder(2), Decoder(4)]),
            "size mismatch for layer.weight: copying a param with shape torch.Size([3, 3]) from checkpoint, "
            "the shape in current model is torch.Size([4, 4]).",
        ),
        (
            lambda: Model(Decoder(3), [Decoder(2), Decoder(4)]),
            "it lacks 'weight' and has 'layer.weight', 'layer.bias',",
        ),
    ],
)
def test_state_that_does_not_fit_names_part_and_entries(folder: Path, fresh: Any, message: str) -> None:
    made = fresh()
    with pytest.raises(SavingError) as caught:
        saving.load_state(made, folder)
    start = f"state of encoder ({type(made.encoder).__name__}) in {folder}/encoder: "
    assert str(caught.value).startswith(start + message)


def test_a_part_that_the_save_lacks_is_named(tmp_path: Path) -> None:
    saving.save(Model(Encoder(3), []), tmp_path / "s")
    with pytest.raises(SavingError) as caught:
        saving.load_state(Model(Encoder(3), [Decoder(2)]), tmp_path / "s")
    assert str(caught.value) == f"{tmp_path}/s holds no state for decoders/0 (Decoder)"


@pytest.mark.parametrize("make", ["Adam", "SGD", "AdamW", "RMSprop"])
def test_optimizers_go_on_where_they_were(make: str) -> None:
    codec = TorchCodec()
    torch.manual_seed(0)
    models = [nn.Linear(2, 2), nn.Linear(2, 2)]
    models[1].load_state_dict(models[0].state_dict())
    arguments = {"lr": 0.1, **({"momentum": 0.9} if make == "SGD" else {})}
    optimizers = [getattr(torch.optim, make)(model.parameters(), **arguments) for model in models]

    def step(which: int) -> None:
        optimizers[which].zero_grad()
        models[which](torch.ones(1, 2)).sum().backward()
        optimizers[which].step()

    step(0)
    models[1].load_state_dict(models[0].state_dict())
    codec.set_state(optimizers[1], through_file(codec, codec.get_state(optimizers[0], {})), {})
    step(0)
    step(1)
    assert same(models[0], models[1])


def schedulers() -> list[Any]:
    from torch.optim import lr_scheduler as lr

    return [
        lambda o: lr.StepLR(o, 2),
        lambda o: lr.LambdaLR(o, lambda epoch: 0.9**epoch),
        lambda o: lr.CosineAnnealingLR(o, 10),
        lambda o: lr.CosineAnnealingWarmRestarts(o, 3),
        lambda o: lr.ReduceLROnPlateau(o),
        lambda o: lr.OneCycleLR(o, 0.1, total_steps=20),
        lambda o: lr.CyclicLR(o, 0.01, 0.1),
        lambda o: lr.SequentialLR(o, [lr.ConstantLR(o), lr.ExponentialLR(o, 0.9)], [2]),
    ]


@pytest.mark.parametrize("number", range(len(schedulers())))
def test_learning_rate_schedulers_go_on_where_they_were(number: int) -> None:
    codec = TorchCodec()
    pairs = []
    for _ in range(2):
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5, momentum=0.9)
        pairs.append((optimizer, schedulers()[number](optimizer)))

    def step(which: int) -> Any:
        optimizer, scheduler = pairs[which]
        optimizer.step()
        scheduler.step(*([1.0] if "Plateau" in type(scheduler).__name__ else []))
        return optimizer.param_groups[0]["lr"]

    for _ in range(3):
        step(0)
    for index in range(2):
        state = through_file(codec, codec.get_state(pairs[0][index], {}))
        codec.set_state(pairs[1][index], state, {})
    assert [step(0) for _ in range(3)] == [step(1) for _ in range(3)]


@pytest.mark.parametrize("chain", ["SequentialLR", "ChainedScheduler"])
def test_schedulers_inside_another_go_on_where_they_were(chain: str, tmp_path: Path) -> None:
    text = f"""
    model: !torch.Linear [1, 1]
    optimizer: !torch.SGD {{params: !call s.model.parameters, lr: 0.5}}
    scheduler: !torch.{chain}
      optimizer: !@ s.optimizer
      schedulers:
      - !torch.LinearLR {{optimizer: !@ s.optimizer, total_iters: 4}}
      - !torch.ExponentialLR {{optimizer: !@ s.optimizer, gamma: 0.9}}
      {"milestones: [2]" if chain == "SequentialLR" else ""}
    """
    rates = []
    for steps in (5, 3, 2):
        registry = Registry.load()
        node = read_text(text, any_root=True).root
        stage = Builder(registry, stage="s", outside=lambda path: None).build(node)
        trial = TrialFolder(str(tmp_path), registry, node=node)
        if steps == 2:
            assert trial.load_checkpoint(stage) is not None
        for _ in range(steps):
            stage["optimizer"].step()
            stage["scheduler"].step()
            rates.append(stage["optimizer"].param_groups[0]["lr"])
        trial.write_checkpoint(stage, step=steps, extra={})
    assert rates[:5] == rates[5:]


def test_an_optimizer_for_other_parameters_is_refused() -> None:
    codec = TorchCodec()
    state = codec.get_state(torch.optim.Adam(nn.Linear(1, 1).parameters()), {})
    with pytest.raises(SavingError) as caught:
        codec.set_state(torch.optim.Adam([nn.Parameter(torch.ones(1))]), state, {})
    assert str(caught.value) == (
        "it does not fit: loaded state dict contains a parameter group that doesn't match the size of "
        "optimizer's group"
    )


def test_tensors_stand_in_the_state_and_arguments_of_other_objects(tmp_path: Path) -> None:
    holder = Holder(torch.arange(4.0))
    holder.last = torch.tensor([3.0])
    saving.save(holder, tmp_path / "s")
    assert (
        tmp_path / "s" / "state.json"
    ).read_text() == '{"last": {"$value": "state-0.pt", "codec": "torch"}}\n'
    loaded = saving.load(tmp_path / "s")
    assert loaded.weights.tolist() == [0, 1, 2, 3]
    assert loaded.last.tolist() == [3]


def test_state_that_would_need_a_pickle_is_refused_by_name(tmp_path: Path, model: Model) -> None:
    model.encoder.seen = {"when": [1, Decimal(1)]}
    with pytest.raises(SavingError) as caught:
        saving.save(model, tmp_path / "s")
    assert str(caught.value) == (
        "state of encoder (Encoder): custom_state.seen.when[1] is of type decimal.Decimal, "
        "which cannot be saved; use plain values (numbers, texts, lists, mappings), arrays and tensors"
    )


class Bomb:
    went_off = False

    def __reduce__(self) -> Any:
        return setattr, (Bomb, "went_off", True)


def test_a_file_that_would_run_code_is_refused() -> None:
    stream = io.BytesIO()
    torch.save({"weight": Bomb()}, stream)
    with pytest.raises(DamagedSaveError) as caught:
        TorchCodec().read(io.BytesIO(stream.getvalue()))
    assert str(caught.value).startswith("no torch file that can be read without running code: ")
    assert not Bomb.went_off
    for data in (pickle.dumps(Bomb()), b""):
        with pytest.raises(DamagedSaveError) as caught:
            TorchCodec().read(io.BytesIO(data))
        assert str(caught.value) == "no torch file of the kind that Flambé writes"
    assert not Bomb.went_off


def test_altered_torch_files_are_named(folder: Path) -> None:
    for file in sorted(folder.rglob("state.pt")):
        data = file.read_bytes()
        for altered in (data[:-1], data[:99] + bytes([data[99] ^ 4]) + data[100:], b""):
            file.write_bytes(altered)
            with pytest.raises(DamagedSaveError) as caught:
                saving.load(folder)
            assert str(caught.value).startswith(f"{file} was ")
        file.write_bytes(data)
    assert saving.load(folder) is not None


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text()
    | st.lists(st.floats(width=32, allow_nan=False), max_size=3).map(torch.tensor)
    | st.lists(st.integers(-9, 9), max_size=3).map(np.array)
)
nested = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=6,
)


class Stateful(nn.Module):
    """Keeps any state."""

    def __init__(self, state: Any) -> None:
        super().__init__()
        self.state = state

    def custom_state(self) -> Mapping[str, Any]:
        return {"state": self.state}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.state = state["state"]


@given(nested)
def test_nested_states_come_back(value: Any) -> None:
    codec, fresh = TorchCodec(), Stateful(None)
    codec.set_state(fresh, through_file(codec, codec.get_state(Stateful(value), {})), {})
    assert alike(value, fresh.state)


def test_long_numbers_come_back() -> None:
    codec, fresh = TorchCodec(), Stateful(None)
    value = {"seeds": [2**2000 - 1, 2**2000, -(2**40_000)]}
    codec.set_state(fresh, through_file(codec, codec.get_state(Stateful(value), {})), {})
    assert fresh.state == value


def through_file(codec: TorchCodec, state: Any) -> Any:
    stream = io.BytesIO()
    codec.write(state, stream)
    return codec.read(io.BytesIO(stream.getvalue()))


def alike(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, (torch.Tensor, np.ndarray)):
        return a.dtype == b.dtype and a.tolist() == b.tolist()
    if isinstance(a, dict):
        return list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b)


def private_bytes(tensor: torch.Tensor) -> int:
    """How much of the memory that holds the tensor only this process has."""
    found = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if (place := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)) is not None:
            start, end = (int(bound, 16) for bound in place.groups())
            inside = start <= tensor.data_ptr() < end
        elif inside and line.startswith("Anonymous"):
            found += int(line.split()[1]) * 1024
    return found


class TestHandOver:
    """As an executor does it: buffers out of band, read-only at the receiver."""

    class Pickler(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            return TorchCodec().reduce(value)

    def hand_over(self, value: Any) -> tuple[Any, list[pickle.PickleBuffer], int]:
        stream, buffers = io.BytesIO(), []
        self.Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
        read_only = [memoryview(buffer.raw()).toreadonly() for buffer in buffers]
        return pickle.loads(stream.getvalue(), buffers=read_only), buffers, len(stream.getvalue())

    def test_a_module_arrives_as_a_writable_copy(self, model: Model) -> None:
        arrived, buffers, _ = self.hand_over(model)
        assert same(arrived, model)
        assert arrived.alias is arrived.encoder
        assert arrived.tied is arrived.scale
        assert isinstance(arrived.scale, nn.Parameter)
        assert arrived.scale.requires_grad
        before = model.scale.clone()
        with torch.no_grad():
            arrived.scale += 1
        assert torch.equal(model.scale, before)
        assert len(buffers) == len({p.untyped_storage().data_ptr() for p in model.state_dict().values()})

    def test_large_tensors_travel_out_of_band(self) -> None:
        arrived, buffers, in_band = self.hand_over({"x": torch.ones(100_000)})
        assert arrived["x"].sum() == 100_000
        assert len(buffers) == 1
        assert in_band < 1000

    def test_tensors_use_shared_memory_as_it_is_and_what_is_written_stays_here(self) -> None:
        shared = HandOver(lambda: [TorchCodec()])
        path = LinkPath("data", ())
        bundle = shared.pack({path: torch.ones(100_000)})
        first, second = shared.unpack(bundle)[path], shared.unpack(bundle)[path]
        first += 1
        assert second.sum() == 100_000
        assert first.sum() == 200_000
        bundle.close()
        assert second.sum() == 100_000
        assert private_bytes(first) >= 400_000
        assert private_bytes(second) < 100_000

    def test_views_share_memory_there_as_here(self) -> None:
        base = torch.arange(12.0).reshape(3, 4)
        (arrived, row, column), buffers, _ = self.hand_over([base, base[1], base.T])
        arrived[1, 1] = 99
        assert row[1] == 99
        assert column[1, 1] == 99
        assert column.shape == (4, 3)
        assert len(buffers) == 1

    @pytest.mark.parametrize(
        "dtype", [torch.bfloat16, torch.float16, torch.bool, torch.int8, torch.complex64]
    )
    def test_every_dtype_arrives(self, dtype: torch.dtype) -> None:
        tensor = torch.tensor([[0, 1], [1, 0]]).to(dtype)
        arrived, _, _ = self.hand_over(tensor)
        assert arrived.dtype == dtype
        assert torch.equal(arrived, tensor)

    def test_empty_and_scalar_tensors_and_attributes_arrive(self) -> None:
        frozen = nn.Parameter(torch.tensor(2.0), requires_grad=False)
        frozen.note = "mine"  # type: ignore[attr-defined]  # any attribute
        (empty, scalar, learns), _, _ = self.hand_over(
            [torch.empty(0, 3), frozen, torch.ones(2, requires_grad=True)]
        )
        assert empty.shape == (0, 3)
        assert (scalar.item(), scalar.requires_grad, scalar.note) == (2.0, False, "mine")
        assert learns.requires_grad

    def test_other_objects_are_left_to_pickle(self) -> None:
        assert TorchCodec().reduce(3) is NotImplemented
        assert TorchCodec().reduce(torch.ones(2).to_sparse()) is NotImplemented
        assert TorchCodec().reduce(torch.ones(2, dtype=torch.complex64).conj()) is NotImplemented


def test_the_plugin_brings_the_codec() -> None:
    assert [type(codec) for codec in Registry.load().codecs()] == [TorchCodec]


STAGE = """
model: !torch.Sequential
  - !torch.Linear [2, 3]
  - !torch.Linear [3, 1]
optimizer: !torch.Adam
  params: !call stage1.model.parameters
  lr: 0.1
loss_fn: !MSELoss
"""


def test_figure_2s_folders(tmp_path: Path) -> None:
    registry = Registry.load()
    node = read_text(STAGE).root
    trial = TrialFolder(str(tmp_path / "stage1" / "v"), registry, node=node)

    def build() -> Any:
        return Builder(registry, stage="stage1", outside=lambda path: 1 / 0).build(node)

    made = build()
    made["model"](torch.ones(1, 2)).sum().backward()
    made["optimizer"].step()
    trial.write_finished(made)
    folder = tmp_path / "stage1" / "v"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("state.*")) == [
        "model/0/state.pt",
        "model/1/state.pt",
        "optimizer/state.pt",
    ]
    fresh = build()
    trial.load_finished(fresh)
    assert same(fresh["model"], made["model"])
    loaded = saving.load(folder)
    assert same(loaded["model"], made["model"])
    assert loaded["optimizer"].param_groups[0]["params"][0] is loaded["model"][0].weight
    assert same(saving.load(folder / "model" / "0"), made["model"][0])
    alone = saving.load(folder / "optimizer")
    assert alone.state_dict()["state"][0]["step"] == 1
    assert torch.equal(alone.param_groups[0]["params"][0], made["model"][0].weight)
