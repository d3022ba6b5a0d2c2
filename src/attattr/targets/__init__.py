"""What F is: which output of a model is explained. `kinds` chooses by its head; a file each says how a
target is read, what the model predicts, and where F stands in its outputs; `objective` computes it.

Imports `data`, `models` and `result`.
"""
