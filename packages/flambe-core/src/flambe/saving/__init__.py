"""Saving: objects as folders that a person can read, on any storage."""

from flambe.saving.reading import load, load_state
from flambe.saving.writing import save

__all__ = ["load", "load_state", "save"]
