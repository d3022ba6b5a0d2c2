"""The study: the paper's tables and figures, ours beside theirs. One file a part; `../study.py` runs them."""
