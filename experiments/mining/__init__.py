"""Ways to mine triggers, compared; `../mining.py` runs them."""
