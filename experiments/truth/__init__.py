"""Attribution against known truth: part 1, transformers whose weights are written by hand."""
