"""Simple recurrent units (Lei et al. 2018), fast on the CPU too."""

from flambe_nlp.sru.cell import SRUCell
from flambe_nlp.sru.module import SRU, SRUEncoder
from flambe_nlp.sru.transformer import TransformerSRU, TransformerSRUDecoder, TransformerSRUEncoder

__all__ = [
    "SRU",
    "SRUCell",
    "SRUEncoder",
    "TransformerSRU",
    "TransformerSRUDecoder",
    "TransformerSRUEncoder",
]
