"""Attributions for readers."""
