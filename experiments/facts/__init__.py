"""The embedded decoder `facts`: its synthetic text, its tokenizer, its training and what it reaches."""
