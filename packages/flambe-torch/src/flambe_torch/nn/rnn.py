"""`RNNEncoder`: recurrent layers that do not see padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from flambe_torch.changing import change
from flambe_torch.nn.module import Module
from flambe_torch.nn.pooling import LastPooling, pooled_size, pooling_of

RNN_TYPES: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
)
RNN_GROUP = "flambe_torch.rnn"
"""The entry-point group in which other packages name further types of RNN."""
PROVIDERS: Mapping[str, str] = MappingProxyType({"sru": "flambe-nlp"})
"""What to install for a type that is not here."""

State: TypeAlias = tuple[torch.Tensor, ...]
"""What recurrent layers know of the tokens so far: tensors with the batch as their second dimension."""

DENSE = 0.9
"""From this share of tokens among all places on, computing the padding too is faster than packing (CPU)."""


class RNNEncoder(Module):
    """Recurrent layers: (B, T, input_size) → (B, T, H), or (B, H) with a pooling.

    H is `hidden_size` (an LSTM's `proj_size`, if it has one), twice that if `bidirectional`. A package adds a
    type of RNN by an entry point in the group `flambe_torch.rnn`: its name, and a class that is made and
    called as `torch.nn.LSTM` is. A class whose attribute `takes_mask` is true is called with
    (B, T, input_size) and the mask, and returns (B, T, H); torch's own are given packed sequences. If it has
    `unroll`, that is what `unroll` here calls.

    Args:
        n_layers: Number of layers.
        rnn_type: `lstm`, `gru`, `rnn`, or the name of a type that another package adds.
        dropout: Share of entries zeroed in training, between the layers.
        pooling: `last`, `first`, `mean`, `max`, `sum`, or a module (B, T, H), mask → (B, H). `last` takes the
            final state of each direction: at the last token forwards, at the first token backwards.
        rnn_options: Further arguments of that type's class, such as `layer_norm` of `sru`.

    Example:
        >>> encoder = RNNEncoder(input_size=3, hidden_size=5, rnn_type="gru", pooling="last")
        >>> encoder(torch.zeros(2, 4, 3), torch.tensor([[True] * 4, [True] * 2 + [False] * 2])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_layers: int = 1,
        *,
        rnn_type: str = "lstm",
        dropout: float = 0.0,
        bidirectional: bool = False,
        pooling: str | nn.Module | None = None,
        rnn_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.rnn = rnn_type_of(rnn_type)(
            input_size,
            hidden_size,
            num_layers=n_layers,
            dropout=dropout if n_layers > 1 else 0.0,  # there is nothing between the layers of one
            bidirectional=bidirectional,
            batch_first=True,
            **(rnn_options or {}),
        )
        self.pooling = pooling_of(pooling)
        self.hidden_size = getattr(self.rnn, "proj_size", 0) or hidden_size
        self.bidirectional = bidirectional

    @property
    def output_size(self) -> int:
        """H, or what the pooling makes of it: what a decoder after this takes as `input_size`."""
        return pooled_size(self.pooling, self.hidden_size * (2 if self.bidirectional else 1))

    def change(self, path: str, value: Any) -> None:
        if path == "dropout":
            change(self.rnn, path, value)
        else:
            super().change(path, value)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encoded rows (B, H) with a pooling, else (B, T, H), for x (B, T, input_size)."""
        output = self._run(x, mask)  # (B, T, H)
        if self.pooling is None:
            return output if mask is None else output * mask[:, :, None]
        pooled: torch.Tensor = self.pooling(output, mask)  # (B, H)
        if self.bidirectional and isinstance(self.pooling, LastPooling):
            first = output[:, 0] if mask is None else output[:, 0] * mask[:, :1]
            return torch.cat([pooled[:, : self.hidden_size], first[:, self.hidden_size :]], dim=1)
        return pooled

    def unroll(self, x: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """Encoded tokens (B, T, H) and the state behind the last of them, for the next part of the text.

        Args:
            x: (B, T, input_size), all of it tokens.
            state: What the call for the part before returned: tensors with B as their second dimension. None
                at the start.

        Raises:
            ValueError: the encoder reads backwards too, or pools.
        """
        if self.bidirectional or self.pooling is not None:
            raise ValueError("an encoder that is bidirectional or has a pooling cannot read a text in parts")
        unroll = getattr(self.rnn, "unroll", None)
        if unroll is not None:
            output, state = unroll(x, state)
            return output, state
        output, last = self.rnn(x, state if state is None or len(state) > 1 else state[0])
        return output, last if isinstance(last, tuple) else (last,)

    def _run(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if getattr(self.rnn, "takes_mask", False):
            output: torch.Tensor = self.rnn(x, mask)
        elif mask is None or not self._needs_packing(mask):
            output, _ = self.rnn(x)
        else:
            lengths = mask.sum(dim=1).clamp(min=1).cpu()
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            packed, _ = self.rnn(packed)
            output, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
        return output

    def _needs_packing(self, mask: torch.Tensor) -> bool:
        """Backwards, padding would come first. Forwards it comes last, and packing only saves time."""
        if self.bidirectional:
            return True
        return mask.device.type == "cpu" and bool(mask.sum() < DENSE * mask.numel())


def rnn_type_of(name: str) -> Callable[..., nn.Module]:
    """The class of that name: one of torch's, or what a package names in the group `flambe_torch.rnn`.

    Raises:
        ValueError: there is no such type.
    """
    if name in RNN_TYPES:
        return RNN_TYPES[name]
    added = {point.name: point for point in entry_points(group=RNN_GROUP)}
    if name not in added and name in PROVIDERS:
        raise ValueError(f"the RNN {name!r} comes with {PROVIDERS[name]}: pip install {PROVIDERS[name]}")
    if name not in added:
        raise ValueError(f"no RNN is called {name!r}; there are {', '.join([*RNN_TYPES, *sorted(added)])}")
    loaded: Callable[..., nn.Module] = added[name].load()
    return loaded
