"""Texts and data sets: Examples, the files and hub data sets they are read from, and their token ids.

Imports `models` and `result`. Another format of data goes into `tables`.
"""
