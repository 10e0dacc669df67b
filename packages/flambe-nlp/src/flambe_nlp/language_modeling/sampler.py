"""`CorpusSampler`: a corpus in parallel streams, for truncated back-propagation through time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from flambe_torch.data import Array, ArrayColumn, Batch, PackedColumn, Rows
from flambe_torch.samplers import Sampler, downsampled


class CorpusSampler(Sampler):
    """Reads a corpus as `batch_size` streams side by side, `unroll_size` tokens at a time.

    The corpus is cut into `batch_size` streams of equal length L. Batch i of a pass holds the streams' tokens
    from i · T on, T being `unroll_size`: a row goes on where it ended in the batch before. Each pass is the
    same, and the last batch of one may be shorter. A batch is

    - tokens (B, T), int64;
    - start (B,), bool: true in the first batch of a pass, where what a model knows of earlier tokens is void;
    - target (B, T), int64: the tokens one place later.

    Fewer than B tokens at the corpus' end, which do not fill all streams, are left out.

    Args:
        data: The corpus: `Rows` with one column of token numbers, such as `LMProcessor.train`, whose rows are
            read one after the other; such a column; or the numbers (N,) as an array, a tensor or a list.
        batch_size: B, the number of streams. 1 for an evaluation that leaves nothing out.
        unroll_size: T, the tokens through which gradients go back.
        drop_last: Leave out a shorter last batch.
        downsample: Read only the beginning of the corpus: a share of its tokens, above 0 up to 1.0, or so
            many of them.

    Example:
        >>> for tokens, start, target in CorpusSampler(range(9), batch_size=2, unroll_size=3):
        ...     print(tokens.tolist(), start.tolist(), target.tolist())
        [[0, 1, 2], [4, 5, 6]] [True, True] [[1, 2, 3], [5, 6, 7]]
        [[3], [7]] [False, False] [[4], [8]]
    """

    sequential = True

    def __init__(
        self,
        data: Any,
        batch_size: int = 20,
        unroll_size: int = 35,
        *,
        drop_last: bool = False,
        downsample: float | int | None = None,
    ) -> None:
        if batch_size < 1 or unroll_size < 1:
            raise ValueError(f"batch_size and unroll_size must be at least 1: {batch_size}, {unroll_size}")
        self.batch_size = batch_size
        self.unroll_size = unroll_size
        self.drop_last = drop_last
        corpus = _corpus(data)
        corpus = corpus[: downsampled(len(corpus), downsample)]
        length = max(len(corpus) - 1, 0) // batch_size
        used = length * batch_size
        self._tokens = corpus[:used].reshape(batch_size, length)  # (B, L), views of the corpus
        self._targets = corpus[1 : used + 1].reshape(batch_size, length)

    def __len__(self) -> int:
        full, rest = divmod(self._tokens.shape[1], self.unroll_size)
        return full + (1 if rest and not self.drop_last else 0)

    def batches(self, number: int, *, training: bool, start: int = 0) -> Iterator[Batch]:
        """The batches of a pass, from the `start`-th on; every pass is the same."""
        for place in range(start, len(self)):
            part = slice(place * self.unroll_size, (place + 1) * self.unroll_size)
            yield (
                torch.from_numpy(self._tokens[:, part].astype(np.int64)),
                torch.full((self.batch_size,), place == 0),
                torch.from_numpy(self._targets[:, part].astype(np.int64)),
            )


def _corpus(data: Any) -> Array:
    """The token numbers (N,), one document after the other."""
    if isinstance(data, Rows):
        if len(data.columns) != 1:
            raise ValueError(
                f"a corpus is one column of token numbers, but there are {', '.join(data.names)}; "
                "texts that are read each by itself are for a BaseSampler"
            )
        (data,) = data.columns.values()
    if isinstance(data, PackedColumn | ArrayColumn):
        data = data.values
    array = data.detach().cpu().numpy() if isinstance(data, torch.Tensor) else np.asarray(data)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"a corpus is a sequence of whole numbers (N,), but this is {array.dtype} of shape {array.shape}"
        )
    return array
