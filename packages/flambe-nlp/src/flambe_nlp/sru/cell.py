"""`SRUCell`: one layer of simple recurrent units, with the parameters of the `sru` package's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from flambe_nlp.sru import kernels
from flambe_nlp.sru.packing import Packing
from flambe_nlp.sru.recurrence import Recurrence


class SRUCell(nn.Module):
    """One layer: (T, B, input_size) → (T, B, H) and the last states (B, H).

    H is `hidden_size`, twice that if `bidirectional`; D is the number of directions, k the number of
    products (3, or 4 where the skip term is a projection of the input because their sizes differ).

    Parameters and buffers, as in the `sru` package:
        weight: (input_size or n_proj, D · hidden_size · k), the k products of a unit beside each other.
        weight_proj: (input_size, n_proj), if `n_proj` makes it smaller.
        weight_c: (2 · H), of the state in the forget gates and then the reset gates.
        bias: (2 · H), likewise.
        scale_x: (1,), what the input is multiplied by as the skip term if `rescale`.
        layer_norm: `weight` and `bias`, if `layer_norm`.

    Args:
        hidden_size: The units in each direction.
        dropout: Share of the units whose state does not enter h, for all steps of a sequence alike.
        rnn_dropout: Share of the input's entries zeroed for all steps of a sequence alike.
        n_proj: If not 0 and smaller than both sizes, the weights are a product with this inner size.
        use_tanh: Whether the states pass through tanh before they enter h.
        highway_bias: The first value of the reset gate's bias.
        has_skip_term: Whether the input enters h.
        layer_norm: Whether the input is normalized; with `normalize_after`, h is instead.
        rescale: Whether the skip term is scaled so that the variance of h is that of x at the start.
        v1: Whether the gates do not see the state (`weight_c` is 0 and not trained).
        custom_m: A module in place of the weights: (T, B, input_size) → (T, B, H · k), or that and
            (T, B, 2 · H), which is added to `weight_c`.
        amp_recurrence_fp16: Whether half precision products stay so in the `sru` package's CUDA kernels.
        weight_c_init: The bound of the uniform distribution that `weight_c` is drawn from.
    """

    weight: nn.Parameter
    weight_proj: nn.Parameter | None
    scale_x: torch.Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dropout: float = 0.0,
        rnn_dropout: float = 0.0,
        bidirectional: bool = False,
        n_proj: int = 0,
        use_tanh: bool = False,
        highway_bias: float = 0.0,
        has_skip_term: bool = True,
        layer_norm: bool = False,
        rescale: bool = True,
        v1: bool = False,
        custom_m: nn.Module | None = None,
        amp_recurrence_fp16: bool = False,
        normalize_after: bool = False,
        weight_c_init: float | None = None,
    ) -> None:
        super().__init__()
        if not (0 <= dropout < 1 and 0 <= rnn_dropout < 1):
            raise ValueError(
                f"dropout {dropout} and rnn_dropout {rnn_dropout} must be at least 0 and below 1"
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.output_size = hidden_size * self.directions
        self.dropout = dropout
        self.rnn_dropout = rnn_dropout
        self.use_tanh = use_tanh
        self.highway_bias = highway_bias
        self.has_skip_term = has_skip_term
        self.rescale = rescale
        self.v1 = v1
        self.custom_m = custom_m
        self.amp_recurrence_fp16 = amp_recurrence_fp16
        self.normalize_after = normalize_after
        self.weight_c_init = weight_c_init
        self.num_matrices = 4 if has_skip_term and input_size != self.output_size else 3
        self.projection_size = n_proj if 0 < n_proj < min(input_size, self.output_size) else 0
        self._make_weights()
        self.weight_c = nn.Parameter(torch.empty(2 * self.output_size))
        self.bias = nn.Parameter(torch.empty(2 * self.output_size))
        self.register_buffer("scale_x", torch.ones(1))
        normalized = self.output_size if normalize_after else input_size
        self.layer_norm = nn.LayerNorm(normalized) if layer_norm else None
        self.reset_parameters()

    @property
    def directions(self) -> int:
        """D."""
        return 2 if self.bidirectional else 1

    def _make_weights(self) -> None:
        self.weight_proj = None
        if self.custom_m is not None:
            return
        width = self.output_size * self.num_matrices
        if self.projection_size:
            self.weight_proj = nn.Parameter(torch.empty(self.input_size, self.projection_size))
        self.weight = nn.Parameter(torch.empty(self.projection_size or self.input_size, width))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the parameters anew.

        Source: Lei et al. 2018, section 3.2: uniform weights of variance 1/d, and the skip term scaled by
        √(1 + 2 exp(highway_bias)); the halved variances of the gates' weights and of `weight_c`, and the
        tenth under layer normalization, are those of the `sru` package.
        """
        forget_bias, reset_bias = self.bias.chunk(2)
        forget_bias.zero_()
        reset_bias.fill_(self.highway_bias)
        scale = math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self._is_rescaled else 1.0
        self.scale_x.fill_(scale)
        if self.custom_m is None:
            self._reset_weights(scale)
        elif callable(reset := getattr(self.custom_m, "reset_parameters", None)):
            reset()
        if self.v1:
            self.weight_c.zero_()
            self.weight_c.requires_grad_(False)
        else:
            bound = math.sqrt(1.5) if self.weight_c_init is None else self.weight_c_init
            self.weight_c.uniform_(-bound, bound)

    @property
    def _is_rescaled(self) -> bool:
        return self.rescale and self.has_skip_term

    def _reset_weights(self, scale: float) -> None:
        for weight in (self.weight, self.weight_proj):
            if weight is not None:
                bound = math.sqrt(3 / weight.shape[0])
                weight.uniform_(-bound, bound)
        products = self.weight.view(-1, self.output_size, self.num_matrices)
        products[..., 0] *= math.sqrt(1 - self.dropout)
        products *= math.sqrt(1 - self.rnn_dropout)
        if self.layer_norm is not None:
            products *= 0.1
        if not self.v1:
            products[..., 1:3] *= math.sqrt(0.5)
        products[..., 3:] *= scale

    def forward(
        self, x: torch.Tensor, c0: torch.Tensor | None = None, mask_pad: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """h (T, B, H), 0 at padded places, and the last states (B, H).

        Args:
            x: (T, B, input_size), or (B, input_size) for a single step, for which h is (B, H).
            c0: (B, H), the states before the first token; 0 if None.
            mask_pad: (T, B), true (or not 0) where there is no token.
        """
        if x.ndim == 2:
            h, last = self(x[None], c0, mask_pad if mask_pad is None else mask_pad.reshape(1, -1))
            return h[0], last
        packing = packing_of(x, mask_pad)
        if c0 is None:
            c0 = x.new_zeros(x.shape[1], self.output_size)
        h, last = self.run(packing.pack(x), packing.sort(c0), packing)
        return packing.unpack(h), packing.unsort(last)

    def run(
        self, x: torch.Tensor, initial: torch.Tensor, packing: Packing
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for N packed tokens: x (N, input_size), initial (B, H) → h (N, H), last (B, H)."""
        residual = x
        if self.layer_norm is not None and not self.normalize_after:
            x = self.layer_norm(x)
        if self.training and self.rnn_dropout > 0:
            x = x * packing.spread(self._drawn(len(initial), self.input_size, self.rnn_dropout))
        drop = None
        if self.training and self.dropout > 0:
            drop = self._drawn(len(initial), self.output_size, self.dropout)  # (B, H)
        dtype = self.bias.dtype  # under autocast, products are of a lower precision
        residual, initial = residual.to(dtype), initial.to(dtype)
        recur = self._recur if packing.pad is None else self._recur_on_kernels
        h, last = recur(x, residual, initial, drop, packing)
        if self.layer_norm is not None and self.normalize_after:
            h = self.layer_norm(h)
        return h, last

    def _recur(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        initial: torch.Tensor,
        drop: torch.Tensor | None,
        packing: Packing,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if drop is not None:
            drop = packing.sort(drop)
        skip = None
        if self.has_skip_term and self.num_matrices == 3:
            skip = residual * self.scale_x if self.rescale else residual
        source, weights, vs = self._of_directions(x, packing)
        biases = self.bias.view(2, self.directions, self.hidden_size).unbind(1)
        runs = []
        for direction, order in enumerate(packing.orders[: self.directions]):
            part = slice(direction * self.hidden_size, (direction + 1) * self.hidden_size)
            runs.append(
                Recurrence.apply(  # type: ignore[no-untyped-call]  # torch's apply has no types
                    source,
                    weights[direction],
                    biases[direction],
                    None if skip is None else skip[:, part],
                    vs[direction],
                    initial[:, part],
                    None if drop is None else drop[:, part],
                    self.use_tanh,
                    order,
                )
            )
        if not self.bidirectional:
            h, last = runs[0]
            return h, last
        return torch.cat([h for h, _ in runs], 1), torch.cat([last for _, last in runs], 1)

    def _of_directions(
        self, x: torch.Tensor, packing: Packing
    ) -> tuple[torch.Tensor | None, Sequence[torch.Tensor], Sequence[torch.Tensor]]:
        """What `Recurrence` takes as x, and for each direction as weight and v."""
        sizes = (self.directions, self.hidden_size)
        vs: Sequence[torch.Tensor] = self.weight_c.view(2, *sizes).unbind(1)  # (2, hidden_size) each
        if self.custom_m is not None:
            u, v = self._custom_products(packing.unpack(x))
            u = packing.pack(u).to(self.bias.dtype).view(-1, *sizes, self.num_matrices)
            if v is not None:
                v = packing.pack(v).to(self.bias.dtype).view(-1, *sizes, 2)
                vs = v.permute(1, 3, 0, 2).unbind(0)  # (2, N, hidden_size) each
            return None, u.permute(1, 0, 3, 2).unbind(0), vs  # (N, k, hidden_size) each
        if self.weight_proj is not None:
            x = x @ self.weight_proj
        weight = self.weight.view(len(self.weight), *sizes, self.num_matrices)
        return x.to(self.bias.dtype), weight.permute(1, 3, 2, 0).contiguous().unbind(0), vs

    def _custom_products(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        assert self.custom_m is not None
        returned = self.custom_m(x)
        parts: Sequence[torch.Tensor] = returned if isinstance(returned, (tuple, list)) else (returned,)
        widths = (self.output_size * self.num_matrices, self.output_size * 2)
        shapes = [tuple(part.shape) for part in parts]
        expected = [(*x.shape[:2], width) for width in widths]
        if shapes not in (expected[:1], expected):
            raise ValueError(f"custom_m must return {expected[:1]} or {expected}; it gave {shapes}")
        if len(parts) == 1:
            return parts[0], None
        return parts[0], parts[1] + self.weight_c

    def _recur_on_kernels(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        initial: torch.Tensor,
        drop: torch.Tensor | None,
        packing: Packing,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        length, batch = packing.shape
        v: torch.Tensor = self.weight_c
        if self.custom_m is not None:
            u, custom_v = self._custom_products(x.view(length, batch, -1))
            v = v if custom_v is None else custom_v
        else:
            u = (x if self.weight_proj is None else x @ self.weight_proj) @ self.weight
        h, last = kernels.recurrence()(
            u.view(length, batch, -1),
            residual.view(length, batch, -1),
            v,
            self.bias,
            initial,
            int(self.use_tanh),
            self.hidden_size,
            self.bidirectional,
            self.has_skip_term,
            self.scale_x if self.rescale else None,
            drop,
            packing.pad,
            self.amp_recurrence_fp16,
        )
        return h.flatten(0, 1), last

    def _drawn(self, batch: int, size: int, dropout: float) -> torch.Tensor:
        """(batch, size) of 0 and 1 / (1 - dropout), the first with probability `dropout`."""
        return self.bias.detach().new_empty(batch, size).bernoulli_(1 - dropout).div_(1 - dropout)

    def extra_repr(self) -> str:
        """The sizes, for `print`."""
        return f"{self.input_size}, {self.hidden_size}, bidirectional={self.bidirectional}"


def packing_of(x: torch.Tensor, mask_pad: torch.Tensor | None) -> Packing:
    """How a batch x (T, B, …) is to be run: on the kernels of the `sru` package, or packed.

    Raises:
        ValueError: the mask is not of the shape (T, B).
    """
    length, batch = x.shape[:2]
    if mask_pad is not None:
        if mask_pad.shape != (length, batch):
            expected = f"(length, batch), {(length, batch)}"
            raise ValueError(f"mask_pad must be of shape {expected}, not {tuple(mask_pad.shape)}")
        mask_pad = mask_pad.to(device=x.device, dtype=torch.bool)
    if kernels.are_for(x):
        pad = x.new_zeros(length, batch, dtype=torch.bool) if mask_pad is None else mask_pad
        return Packing.keeping_padding(length, batch, pad)
    return Packing.of(length, batch, mask_pad)
