"""Which model: found by name, folder or hub id, loaded, recognised again.

Imports `errors` and `disk`. Another way to load (a loader, an embedded model, a layout of pruned models) goes
here.
"""
