"""Trials on Ray, with the search algorithms and schedulers of Ray Tune. Importing this imports no Ray."""
