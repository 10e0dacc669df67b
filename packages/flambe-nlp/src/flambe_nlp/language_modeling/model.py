"""`LanguageModel`: embedding, encoder, decoder, and what it remembers of the text so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from flambe_nlp.language_modeling.tying import last_linear, tie
from flambe_torch.nn import Model
from flambe_torch.nn.rnn import State
from flambe_torch.predicting import evaluating

_TRIED = 8
"""So many tokens are what a new model's encoder is tried with."""


class LanguageModel(Model):
    """Token numbers (B, T) to log-probabilities of each place's next token (B, T, V).

    With a `CorpusSampler`, whose batches say where a stream starts, the encoder's state at the end of a batch
    is that at the start of the next one; gradients do not go back there. Training and evaluation each keep
    their own, so that a look at dev does not disturb a pass. The training's is saved with the model: training
    that is taken up again goes on exactly. Encoders without `unroll`, such as transformers, see one batch.

    An encoder with recurrent layers somewhere inside it, which has no `unroll` itself, is refused there.

    With a `BaseSampler` of texts and targets, each row is a text by itself, and padding is left out.

    Args:
        embedding: Tokens (B, T) to vectors (B, T, E).
        encoder: Vectors (B, T, E) to (B, T, H). It must not see later tokens: not bidirectional, without a
            pooling, a transformer with `causal: true`. It is tried when the model is made.
        decoder: Vectors (B, T, H) to log-probabilities (B, T, V), such as `SoftmaxDecoder`.
        tie_weights: Use the embedding's weights (V, E) as those of the decoder's last linear layer. A save
            has them in the embedding's folder only: that of the decoder does not load by itself.
        dropout: Share of the encoder's output that is zeroed in training.
        pad_index: The number that stands for no token; None if there is none.
        init_range: Draw the weights of the embedding and of the decoder's last layer uniformly from
            ±`init_range`, and set its bias to 0; left as they are if None.

    Source (tied weights): Press and Wolf, Using the Output Embedding to Improve Language Models, EACL 2017.

    Example:
        >>> from flambe_torch.nn import EmbeddingEncoder, RNNEncoder, SoftmaxDecoder
        >>> embedding, encoder = EmbeddingEncoder(11, 5), RNNEncoder(input_size=5, hidden_size=5)
        >>> model = LanguageModel(embedding, encoder, SoftmaxDecoder(5, 11), tie_weights=True)
        >>> model(torch.tensor([[4, 2, 9, 1], [8, 3, 0, 0]])).shape
        torch.Size([2, 4, 11])
    """

    def __init__(
        self,
        embedding: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        tie_weights: bool = False,
        dropout: float = 0.0,
        pad_index: int | None = 0,
        init_range: float | None = None,
    ) -> None:
        super().__init__()
        _check_reads_forwards(embedding, encoder)
        self.embedding = embedding
        self.encoder = encoder
        self.decoder = decoder
        self.dropout = nn.Dropout(dropout)
        self.pad_index = pad_index
        self._carried: dict[bool, State] = {}
        if init_range is not None:
            _draw(embedding, decoder, init_range)
        if tie_weights:
            tie(embedding, decoder)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (B, T, V) for tokens (B, T), and start (B,) if they are parts of streams."""
        tokens, *more = inputs
        embedded = self.embedding(tokens)  # (B, T, E)
        if not more:
            mask = None if self.pad_index is None else tokens != self.pad_index  # (B, T)
            encoded = self.encoder(embedded, mask)
        elif callable(unroll := getattr(self.encoder, "unroll", None)):
            encoded, state = unroll(embedded, self._state(more[0]))
            self._carried[self.training] = tuple(tensor.detach() for tensor in state)
        else:
            _check_carries(self.encoder)
            encoded = self.encoder(embedded, None)
        _check_by_token(encoded)
        scores: torch.Tensor = self.decoder(self.dropout(encoded))  # (B, T, V)
        return scores

    def for_loss(self, predictions: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A row of log-probabilities (N, V) and a target (N,) for each token that is no padding."""
        rows, classes = predictions.flatten(0, -2), target.flatten()
        if self.pad_index is None:
            return rows, classes
        counted = classes.ne(self.pad_index)
        return (rows, classes) if bool(counted.all()) else (rows[counted], classes[counted])

    def custom_state(self) -> Mapping[str, Any] | None:
        """What the encoder knows of the training streams' tokens so far."""
        carried = self._carried.get(True)
        return None if carried is None else {"carried": list(carried)}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        """Go on in the training streams where `state` was."""
        self._carried = {True: tuple(state["carried"])}

    def _state(self, start: torch.Tensor) -> State | None:
        """The state before this batch: 0 for rows that start (B,); None if there is none yet."""
        carried = self._carried.get(self.training)
        if carried is None:
            return None
        streams = carried[0].shape[1]
        if streams != len(start):
            if bool(start.all()):
                return None
            raise ValueError(f"a batch of {len(start)} streams cannot go on from one of {streams}")
        return tuple(_restarted(tensor.to(start.device), start) for tensor in carried)


def _restarted(tensor: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """`tensor` (L, B, …) with 0 in the rows that start (B,)."""
    return tensor.masked_fill(start.view(1, -1, *[1] * (tensor.ndim - 2)), 0)


def _check_by_token(encoded: torch.Tensor) -> None:
    if encoded.ndim != 3:
        raise ValueError(
            f"the encoder must give a vector for each token, (B, T, H), but it gave {tuple(encoded.shape)}"
        )


def _check_carries(encoder: nn.Module) -> None:
    """Refuses an encoder that would forget at each batch of a stream what its layers could remember."""
    for module in encoder.modules():
        if callable(getattr(module, "unroll", None)):
            whole, part = type(encoder).__name__, type(module).__name__
            raise ValueError(
                f"a {whole} cannot carry the state of its {part} from batch to batch; make that the encoder, "
                "and put what comes behind it into the decoder"
            )


def _check_reads_forwards(embedding: nn.Module, encoder: nn.Module) -> None:
    why = {
        "is bidirectional": getattr(encoder, "bidirectional", False),
        "is not causal (set causal: true)": getattr(encoder, "causal", None) is False,
        "has a pooling": getattr(encoder, "pooling", None) is not None,
    }
    for what, holds in why.items():
        if holds:
            raise ValueError(f"the encoder of a language model must not see later tokens, but it {what}")
    if _looks_ahead(embedding, encoder):
        raise ValueError(
            "the encoder of a language model must not see later tokens, but what this one gives for a token "
            "changes with those behind it"
        )


@torch.no_grad()
def _looks_ahead(embedding: nn.Module, encoder: nn.Module) -> bool:
    """Whether another last token changes what the encoder gives for those before it."""
    with evaluating(embedding), evaluating(encoder):
        device = next((parameter.device for parameter in embedding.parameters()), None)
        embedded = embedding(torch.zeros(1, _TRIED, dtype=torch.long, device=device))  # (1, T, E)
        other = embedded.clone()
        other[:, -1] += 1
        encoded, changed = encoder(embedded, None), encoder(other, None)
        _check_by_token(encoded)
        return not torch.allclose(encoded[:, :-1], changed[:, :-1], equal_nan=True)


def _draw(embedding: nn.Module, decoder: nn.Module, init_range: float) -> None:
    _, linear = last_linear(decoder)
    for module in embedding.modules():
        if isinstance(module, nn.Embedding):
            nn.init.uniform_(module.weight, -init_range, init_range)
            if module.padding_idx is not None:
                with torch.no_grad():
                    module.weight[module.padding_idx].zero_()
    nn.init.uniform_(linear.weight, -init_range, init_range)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
