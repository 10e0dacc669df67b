from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (
    COMPRESSED_HISTOGRAMS,
    HISTOGRAMS,
    IMAGES,
    SCALARS,
    TENSORS,
    EventAccumulator,
)
from tensorboard.plugins.hparams import plugin_data_pb2

import flambe
from flambe.logs import CURRENT, Record, Recorder
from flambe_torch.tensorboard import TensorBoard

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorboard")


def written(folder: Path, records: list[Record], *, merge_plot: bool = True) -> None:
    sink = TensorBoard()
    sink.open(str(folder), merge_plot=merge_plot)
    sink.write("train", "v", records)
    sink.close()


def read(folder: Path) -> EventAccumulator:
    everything = dict.fromkeys((SCALARS, IMAGES, HISTOGRAMS, COMPRESSED_HISTOGRAMS, TENSORS), 0)
    reader = EventAccumulator(str(folder), size_guidance=everything)
    reader.Reload()
    return reader


def scalar(name: str, value: float, step: int | None = 1) -> Record:
    return Record("scalar", name, value, step, 1_700_000_000.0 + (step or 0))


def logged(*calls: Any) -> list[Record]:
    recorder = Recorder()
    token = CURRENT.set(recorder)
    for call in calls:
        call()
    CURRENT.reset(token)
    return recorder.take()


def test_variants_of_a_stage_share_their_tags(tmp_path: Path) -> None:
    sink = TensorBoard()
    sink.open(str(tmp_path), merge_plot=True)
    for variant, loss in [("lr=0.1", 0.5), ("lr=0.2", 0.25)]:
        sink.write("train", variant, [scalar("dev/loss", loss, 1)])
        sink.write("train", variant, [scalar("dev/loss", loss / 2, 2)])
    sink.close()
    for variant, loss in [("lr=0.1", 0.5), ("lr=0.2", 0.25)]:
        points = read(tmp_path / "tensorboard" / "train" / variant).Scalars("dev/loss")
        assert [(p.step, p.value, p.wall_time) for p in points] == [
            (1, loss, 1_700_000_001.0),
            (2, loss / 2, 1_700_000_002.0),
        ]


def test_stages_have_plots_apart_if_asked(tmp_path: Path) -> None:
    written(tmp_path, [scalar("loss", 0.5)], merge_plot=False)
    assert read(tmp_path / "tensorboard/train/v").Tags()[SCALARS] == ["train/loss"]


def test_values_without_a_step_are_numbered(tmp_path: Path) -> None:
    written(tmp_path, [scalar("a", 5.0, None), scalar("b", 7.0, None), scalar("a", 6.0, None)])
    points = read(tmp_path / "tensorboard/train/v").Scalars("a")
    assert [(point.step, point.value) for point in points] == [(1, 5.0), (2, 6.0)]


def test_several_curves_in_one_plot_are_runs_with_one_tag(tmp_path: Path) -> None:
    written(tmp_path, logged(lambda: flambe.log("accuracy", {"train": 0.5, "dev/all": 0.25}, 3)))
    for run, value in [("train", 0.5), ("dev_all", 0.25)]:
        (point,) = read(tmp_path / "tensorboard/train/v" / run).Scalars("accuracy")
        assert (point.step, point.value) == (3, value)


def test_text_is_read_back(tmp_path: Path) -> None:
    written(tmp_path, logged(lambda: flambe.log_text("note", "grüße", 2)))
    (event,) = read(tmp_path / "tensorboard/train/v").Tensors("note/text_summary")
    assert event.step == 2
    assert [text.decode() for text in event.tensor_proto.string_val] == ["grüße"]


@pytest.mark.parametrize("layout", ["HW", "CHW", "HWC", "floats", "tensor"])
def test_images_are_read_back(layout: str, tmp_path: Path) -> None:
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5) * 10
    colours = np.stack([grey, grey // 2, grey // 3])  # (C, H, W)
    given = {
        "HW": grey,
        "CHW": colours,
        "HWC": np.moveaxis(colours, 0, 2),
        "floats": colours / 255 + 1e-6,
        "tensor": torch.from_numpy(colours),
    }[layout]
    written(tmp_path, logged(lambda: flambe.log_image("picture", given, 1)))
    (event,) = read(tmp_path / "tensorboard/train/v").Images("picture")
    pixels = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    assert (event.height, event.width) == (4, 5)
    assert pixels.tolist() == (grey if layout == "HW" else np.moveaxis(colours, 0, 2)).tolist()


def test_an_image_of_another_shape_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"image 'x' must be \(H, W\), .* but it is \(2, 2, 2\)"):
        written(tmp_path, logged(lambda: flambe.log_image("x", np.zeros((2, 2, 2)), 1)))


def test_histograms_are_read_back(tmp_path: Path) -> None:
    values = torch.tensor([0.0, 1.0, 1.0, 64.0, float("nan")], dtype=torch.bfloat16)
    written(tmp_path, logged(lambda: flambe.log_histogram("weights", values, 1)))
    (event,) = read(tmp_path / "tensorboard/train/v").Histograms("weights")
    histogram = event.histogram_value
    assert (histogram.min, histogram.max, histogram.num, histogram.sum) == (0.0, 64.0, 4, 66.0)
    assert histogram.sum_squares == 64.0**2 + 2
    assert sum(histogram.bucket) == 4
    assert [
        right for right, count in zip(histogram.bucket_limit, histogram.bucket, strict=True) if count
    ] == [1, 2, 64]


def test_pr_curves_are_read_back(tmp_path: Path) -> None:
    labels, scores = [1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1]
    written(tmp_path, logged(lambda: flambe.log_pr_curve("curve", labels, scores, 1, thresholds=11)))
    (event,) = read(tmp_path / "tensorboard/train/v").Tensors("curve")
    curve = np.asarray(event.tensor_proto.float_val).reshape(6, 11)
    for place, threshold in enumerate(np.arange(11) / 10):
        above = [score >= threshold - 1e-9 for score in scores]
        tp = sum(a and label for a, label in zip(above, labels, strict=True))
        fp = sum(above) - tp
        expected = [tp, fp, 2 - fp, 2 - tp, tp / max(tp + fp, 1), tp / 2]
        assert curve[:, place].tolist() == pytest.approx(expected)


def test_hyperparameters_are_those_of_the_variants_run(tmp_path: Path) -> None:
    choices = {"lr": 0.1, "cells": "lstm", "deep": True, "sizes": [1, 2]}
    written(tmp_path, logged(lambda: flambe.log_hparams(choices)))
    reader = read(tmp_path / "tensorboard/train/v")
    content = reader.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["lr"].number_value == 0.1
    assert start.hparams["cells"].string_value == "lstm"
    assert start.hparams["deep"].bool_value is True
    assert start.hparams["sizes"].string_value == "[1, 2]"


def test_files_at_a_url_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setattr("flambe_torch.tensorboard.MAX_BUFFER_BYTES", 200)
    sink = TensorBoard()
    sink.open("memory://board", merge_plot=True)
    for step in range(1, 21):
        sink.write("train", "v", [scalar("loss", step, step)])
    sink.close()
    files = fsspec.filesystem("memory")
    names = files.glob("/board/tensorboard/train/v/*")
    assert len(names) > 3
    for name in names:
        (tmp_path / Path(name).name).write_bytes(files.cat(name))
    points = read(tmp_path).Scalars("loss")
    assert [(point.step, point.value) for point in points] == [(step, step) for step in range(1, 21)]


def test_writing_needs_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from flambe.logs import Record\n"
        "from flambe_torch.tensorboard import TensorBoard\n"
        "sink = TensorBoard()\n"
        "sink.open(sys.argv[1], merge_plot=True)\n"
        "sink.write('train', 'v', [Record('scalar', 'loss', 1.0, 1, 0.0)])\n"
        "sink.close()\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert read(tmp_path / "tensorboard/train/v").Scalars("loss")[0].value == 1.0


def test_a_variant_that_starts_again_keeps_only_what_it_will_not_log_again(tmp_path: Path) -> None:
    sink = TensorBoard()
    sink.open(str(tmp_path), merge_plot=True)
    records = [Record("scalar", "loss", float(step), step, 1.0) for step in (1, 2, 3)]
    sink.write("train", "a", records)
    sink.write("train", "ab", records)
    sink.restart("train", "a", records[:1])
    sink.write("train", "a", records[1:2])
    sink.close()
    for variant, steps in (("a", [1, 2]), ("ab", [1, 2, 3])):
        events = read(tmp_path / "tensorboard/train" / variant).Scalars("loss")
        assert [event.step for event in events] == steps
