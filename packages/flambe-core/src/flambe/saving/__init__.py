"""Saving: objects as folders that a person can read, on any storage."""

from flambe.saving.copying import copy_save
from flambe.saving.reading import load, load_state
from flambe.saving.writing import save

__all__ = ["copy_save", "load", "load_state", "save"]
