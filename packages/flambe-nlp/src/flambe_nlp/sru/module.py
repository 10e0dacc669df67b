"""`SRU`: layers of simple recurrent units, and `SRUEncoder`: the same, called as `RNNEncoder` calls."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from flambe.errors import CannotChangeError
from flambe_nlp.sru.cell import SRUCell, packing_of
from flambe_torch.changing import share
from flambe_torch.nn.rnn import State


class SRU(nn.Module):
    """Layers of simple recurrent units: (T, B, input_size) → h (T, B, H) and last states (num_layers, B, H).

    H is `hidden_size`, twice that if `bidirectional`. Parameters, their names and the call are those of the
    `sru` package's `SRU`. Padding is left out of the computation: what a sequence gives does not depend on
    it, and padded places of h are 0.

    Args:
        hidden_size: The units in each direction.
        dropout: Share of the units whose state does not enter h in training, for all steps of a sequence
            alike; in all layers but the last.
        rnn_dropout: Share of each layer's input zeroed in training, for all steps of a sequence alike.
        projection_size: If not 0, each layer's weights are a product with this inner size.
        use_tanh: Whether the states pass through tanh before they enter h.
        layer_norm: Whether each layer's input is normalized; with `normalize_after`, its output is instead.
        highway_bias: The first value of the reset gates' bias; below 0, the input is let through.
        has_skip_term: Whether a layer's input enters its output.
        rescale: Whether that is scaled so that variances stay the same through the layers at the start.
        v1: Whether the gates do not see the state.
        nn_rnn_compatible_return: Whether the last states are (num_layers · D, B, hidden_size), as torch's
            RNNs return them for D directions.
        custom_m: One module, copied, or one for each layer, in place of the weights; see `SRUCell`.
        proj_input_to_hidden_first: Whether an input of another size is first projected to H.
        amp_recurrence_fp16: See `SRUCell`.
        weight_c_init: See `SRUCell`.

    Source: Lei, Zhang, Wang, Dai and Artzi, "Simple Recurrent Units for Highly Parallelizable Recurrence",
    EMNLP 2018, section 3.

    Example:
        >>> h, last = SRU(input_size=3, hidden_size=5, num_layers=2)(torch.zeros(7, 4, 3))
        >>> h.shape, last.shape
        (torch.Size([7, 4, 5]), torch.Size([2, 4, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 2,
        *,
        dropout: float = 0.0,
        rnn_dropout: float = 0.0,
        bidirectional: bool = False,
        projection_size: int = 0,
        use_tanh: bool = False,
        layer_norm: bool = False,
        highway_bias: float = 0.0,
        has_skip_term: bool = True,
        rescale: bool = False,
        v1: bool = False,
        nn_rnn_compatible_return: bool = False,
        custom_m: nn.Module | Sequence[nn.Module] | None = None,
        proj_input_to_hidden_first: bool = False,
        amp_recurrence_fp16: bool = False,
        normalize_after: bool = False,
        weight_c_init: float | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.nn_rnn_compatible_return = nn_rnn_compatible_return
        self.input_to_hidden = None
        if proj_input_to_hidden_first and input_size != self.output_size:
            self.input_to_hidden = nn.Linear(input_size, self.output_size, bias=False)
        first_size = input_size if self.input_to_hidden is None else self.output_size
        self.rnn_lst = nn.ModuleList(
            SRUCell(
                self.output_size if layer else first_size,
                hidden_size,
                dropout=dropout if layer + 1 < num_layers else 0.0,
                rnn_dropout=rnn_dropout,
                bidirectional=bidirectional,
                n_proj=projection_size,
                use_tanh=use_tanh,
                highway_bias=highway_bias,
                has_skip_term=has_skip_term,
                layer_norm=layer_norm,
                rescale=rescale,
                v1=v1,
                custom_m=custom,
                amp_recurrence_fp16=amp_recurrence_fp16,
                normalize_after=normalize_after,
                weight_c_init=weight_c_init,
            )
            for layer, custom in enumerate(_one_for_each(custom_m, num_layers))
        )

    def change(self, path: str, value: Any) -> None:
        """Go on with a new `dropout` or `rnn_dropout`.

        Raises:
            CannotChangeError: it may not change, or not to this value.
        """
        if path not in ("dropout", "rnn_dropout"):
            raise CannotChangeError(
                f"{type(self).__name__} cannot change {path!r} while it trains; "
                "it can change dropout, rnn_dropout"
            )
        if share(value) == 1:
            raise CannotChangeError(f"{path} is below 1")
        for cell in self.rnn_lst if path == "rnn_dropout" else self.rnn_lst[:-1]:
            setattr(cell, path, float(value))

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in (*self.rnn_lst, self.input_to_hidden):
            if module is not None:
                module.reset_parameters()

    def forward(
        self,
        x: torch.Tensor | PackedSequence,
        c0: torch.Tensor | None = None,
        mask_pad: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor | PackedSequence, torch.Tensor]:
        """h (T, B, H) and the last states; a packed sequence gives a packed h.

        Args:
            x: (T, B, input_size), or a packed sequence.
            c0: (num_layers, B, H), the states before the first token; 0 if None.
            mask_pad: (T, B), true (or not 0) where there is no token.
        """
        if isinstance(x, PackedSequence):
            padded, lengths = pad_packed_sequence(x)
            pad = torch.arange(len(padded))[:, None] >= lengths  # (T, B)
            h, last = self(padded, c0, pad)
            return pack_padded_sequence(h, lengths, enforce_sorted=False), last
        h, last = self._encode(x, c0, mask_pad)
        if self.nn_rnn_compatible_return:
            layers, batch = last.shape[:2]
            directions = self.output_size // self.hidden_size
            last = last.view(layers, batch, directions, self.hidden_size).transpose(1, 2).flatten(0, 1)
        return h, last

    def _encode(
        self, x: torch.Tensor, c0: torch.Tensor | None, pad: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """h (T, B, H) and the last states (num_layers, B, H) for x (T, B, input_size)."""
        if x.ndim != 3 or x.shape[2] != self.input_size:
            expected = f"three dimensions, the last of size {self.input_size}"
            raise ValueError(f"the input must have {expected}; its shape is {tuple(x.shape)}")
        states = (self.num_layers, x.shape[1], self.output_size)
        if c0 is None:
            c0 = x.new_zeros(states)
        elif c0.shape != states:
            raise ValueError(f"c0 must be of shape {states}, not {tuple(c0.shape)}")
        packing = packing_of(x, pad)
        h = packing.pack(x)  # (N, input_size)
        if self.input_to_hidden is not None:
            h = self.input_to_hidden(h)
        lasts = []
        for cell, initial in zip(self.rnn_lst, c0, strict=True):
            assert isinstance(cell, SRUCell)
            h, last = cell.run(h, packing.sort(initial), packing)
            lasts.append(packing.unsort(last))
        return packing.unpack(h), torch.stack(lasts)


class SRUEncoder(SRU):
    """`SRU` as `flambe_torch.nn.RNNEncoder` makes and calls it for `rnn_type: sru`.

    The skip terms are rescaled unless told otherwise; the other arguments of `SRU` are `rnn_options` there.

    Example:
        >>> from flambe_torch.nn import RNNEncoder
        >>> RNNEncoder(input_size=3, hidden_size=5, rnn_type="sru")(torch.zeros(4, 7, 3)).shape
        torch.Size([4, 7, 5])
    """

    takes_mask = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        batch_first: bool = True,
        rescale: bool = True,
        **options: Any,
    ) -> None:
        if not batch_first:
            raise ValueError("an SRUEncoder takes the batch first; an SRU takes it second")
        super().__init__(input_size, hidden_size, num_layers, rescale=rescale, **options)

    def forward(  # type: ignore[override]  # the call of RNNEncoder, not of the sru package
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """h (B, T, H) for x (B, T, input_size) and a mask (B, T), true where a token is."""
        pad = None if mask is None else ~mask.T
        h, _ = self._encode(x.transpose(0, 1), None, pad)
        return h.transpose(0, 1)

    def unroll(self, x: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """h (B, T, H) and the last states as a tuple, for x (B, T, input_size) that follows `state`."""
        h, last = self._encode(x.transpose(0, 1), None if state is None else state[0], None)
        return h.transpose(0, 1), (last,)


def _one_for_each(
    custom_m: nn.Module | Sequence[nn.Module] | None, num_layers: int
) -> Sequence[nn.Module | None]:
    if custom_m is None:
        return [None] * num_layers
    if isinstance(custom_m, nn.Module):
        return [copy.deepcopy(custom_m) for _ in range(num_layers)]
    if len(custom_m) != num_layers:
        raise ValueError(f"custom_m has {len(custom_m)} modules for {num_layers} layers")
    return custom_m
