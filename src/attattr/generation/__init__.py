"""What a language model wrote: its reply in spans, the prompt in sources, which source each span rests on.

Imports `measure`. `explained` is the method; `edges` says which edges to a source count; `many` makes tables
of many prompts.
"""
