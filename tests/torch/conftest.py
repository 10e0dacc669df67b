"""Properties are checked without a deadline: torch's first call of a kind takes long."""

from hypothesis import settings

settings.register_profile("torch", deadline=None)
settings.load_profile("torch")
