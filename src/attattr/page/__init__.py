"""The page of a result, one file, and the local server that makes such pages.

Imports `report` and everything below. The script is in `ui/`; its bundle lies in `static`.
"""
