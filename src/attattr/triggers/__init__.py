"""The few words that a model falls for: mined, inserted, attacked with, and compared with controls.

Imports `measure` and `runs`.
"""
