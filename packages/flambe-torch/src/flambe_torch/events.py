"""Event files as TensorBoard reads them: records of what was logged, framed and checksummed.

Written here, without torch and without a thread for each file. Source of the frame: TensorFlow's
`record_writer.cc`; of the summaries: the protocol buffers that the tensorboard package brings.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION, SESSION_START_INFO_TAG
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo
from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData

BINS = 64
THRESHOLDS = 127


def header(time: float) -> bytes:
    """The record that an event file begins with."""
    return _framed(Event(wall_time=time, file_version="brain.Event:2"))


def record(kind: str, name: str, value: Any, *, step: int, time: float) -> bytes:
    """One logged value as a record; `kind` is that of `flambe.logs.Record`, but `scalars`."""
    event = Event(wall_time=time, step=step, summary=Summary(value=[SUMMARIES[kind](name, value)]))
    return _framed(event)


def _scalar(name: str, value: Any) -> Any:
    return Summary.Value(tag=name, simple_value=float(value))


def _text(name: str, value: str) -> Any:
    tensor = TensorProto(dtype="DT_STRING", string_val=[value.encode()], tensor_shape=_shape(1))
    return Summary.Value(tag=f"{name}/text_summary", metadata=_plugin("text"), tensor=tensor)


def _image(name: str, value: Any) -> Any:
    """`value` is (H, W), (C, H, W) or (H, W, C) with 1, 3 or 4 channels; floats are in [0, 1]."""
    from PIL import Image

    pixels = np.asarray(value)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) and pixels.shape[2] not in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, 2)  # (H, W, C)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise ValueError(f"image {name!r} must be (H, W), (C, H, W) or (H, W, C), but it is {pixels.shape}")
    if pixels.dtype.kind == "f":
        pixels = np.clip(pixels * 255, 0, 255)
    height, width, channels = pixels.shape
    data = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8).squeeze(2) if channels == 1 else pixels.astype(np.uint8)).save(
        data, format="PNG"
    )
    image = Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=data.getvalue()
    )
    return Summary.Value(tag=name, image=image)


def _histogram(name: str, value: Any) -> Any:
    values = np.asarray(value, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return Summary.Value(tag=name, histo=HistogramProto(bucket_limit=[0.0], bucket=[0.0]))
    counts, edges = np.histogram(values, bins=BINS)
    histogram = HistogramProto(
        min=values.min(),
        max=values.max(),
        num=len(values),
        sum=values.sum(),
        sum_squares=(values**2).sum(),
        bucket_limit=edges.tolist(),
        bucket=[0, *counts.tolist()],  # TensorBoard knows right limits only: an empty bucket holds the first
    )
    return Summary.Value(tag=name, histo=histogram)


def _pr_curve(name: str, value: Mapping[str, Any]) -> Any:
    """`value` holds `labels` (0 or 1), `scores` in [0, 1], and the number of `thresholds`."""
    labels = np.asarray(value["labels"]).ravel().astype(bool)
    scores = np.asarray(value["scores"], dtype=np.float64).ravel()
    count = min(int(value.get("thresholds", THRESHOLDS)), THRESHOLDS)
    buckets = np.clip((scores * (count - 1)).astype(int), 0, count - 1)
    hits = np.bincount(buckets[labels], minlength=count)
    misses = np.bincount(buckets[~labels], minlength=count)
    tp, fp = hits[::-1].cumsum()[::-1], misses[::-1].cumsum()[::-1]  # at or above each threshold
    tn, fn = fp[0] - fp, tp[0] - tp
    precision, recall = tp / np.maximum(tp + fp, 1), tp / np.maximum(tp + fn, 1)
    curve = np.stack([tp, fp, tn, fn, precision, recall])  # (6, thresholds)
    tensor = TensorProto(dtype="DT_FLOAT", float_val=curve.ravel().tolist(), tensor_shape=_shape(6, count))
    content = PrCurvePluginData(version=0, num_thresholds=count).SerializeToString()
    return Summary.Value(tag=name, metadata=_plugin("pr_curves", content), tensor=tensor)


def _hparams(_: str, value: Mapping[str, Any]) -> Any:
    """The hyperparameters of the run in whose folder the event file lies."""
    start = SessionStartInfo()
    for name, choice in value.items():
        if isinstance(choice, bool):
            start.hparams[name].bool_value = choice
        elif isinstance(choice, int | float):
            start.hparams[name].number_value = choice
        else:
            start.hparams[name].string_value = str(choice)
    content = HParamsPluginData(session_start_info=start, version=PLUGIN_DATA_VERSION)
    metadata = _plugin("hparams", content.SerializeToString())
    return Summary.Value(tag=SESSION_START_INFO_TAG, metadata=metadata)


SUMMARIES: Mapping[str, Callable[[str, Any], Any]] = {
    "scalar": _scalar,
    "text": _text,
    "image": _image,
    "histogram": _histogram,
    "pr_curve": _pr_curve,
    "hparams": _hparams,
}


def _plugin(name: str, content: bytes = b"") -> Any:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))


def _shape(*sizes: int) -> Any:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])


def _framed(event: Any) -> bytes:
    data: bytes = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    """CRC-32C, masked as records want it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _table() -> tuple[int, ...]:
    """CRC-32C of each byte. Source: RFC 3720, appendix B.4 (polynomial 0x1EDC6F41, reflected)."""
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


TABLE = _table()
