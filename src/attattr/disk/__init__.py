"""What is written and read whole: files that appear when they are finished, JSON and arrays with a digest.

Imports `errors` alone. Whatever writes a file calls `files.write`; whatever reads one that attattr wrote
checks its digest here before it believes it.
"""
