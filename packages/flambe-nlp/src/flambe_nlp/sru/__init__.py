"""Simple recurrent units (Lei et al. 2018), fast on the CPU too."""

from flambe_nlp.sru.cell import SRUCell
from flambe_nlp.sru.module import SRU, SRUEncoder

__all__ = ["SRU", "SRUCell", "SRUEncoder"]
