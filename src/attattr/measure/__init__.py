"""What really happens: predictions with heads or edges taken out, accuracy, what a model allows.

Imports `engine`. All of it rests on `masks`.
"""
