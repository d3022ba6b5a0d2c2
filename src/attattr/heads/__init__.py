"""Which heads matter, whether that shows, and models without the others.

Imports `measure`. Another criterion goes into `importance`.
"""
