"""Measures computed from plain arrays; no models, no data sets."""
