"""The tables of a run, column by column, and which of them each store has."""

from __future__ import annotations

import pyarrow as pa

INPUTS = pa.schema(
    [
        ("row", pa.int64()),  # number of the example in the data, counted over the rows that are used
        ("line", pa.int64()),  # in the data file
        ("id", pa.string()),
        ("text", pa.string()),
        ("text_pair", pa.string()),
        ("gold", pa.string()),
        ("prediction", pa.string()),
        ("probability", pa.float64()),
        ("probabilities", pa.list_(pa.struct([("label", pa.string()), ("probability", pa.float64())]))),
        ("target", pa.string()),
        ("output", pa.string()),
        ("value", pa.float64()),  # F(A)
        ("worst_gap", pa.float64()),  # the largest completeness gap of all sites, signed
        ("worst_error", pa.float64()),
        ("converged", pa.bool_()),
        ("truncated", pa.bool_()),
        ("tokens", pa.list_(pa.string())),
        ("segments", pa.list_(pa.int8())),
        ("words", pa.list_(pa.int32())),
        ("special", pa.list_(pa.bool_())),
        # one number a site
        ("gaps", pa.list_(pa.float64())),
        ("errors", pa.list_(pa.float64())),
        ("n_steps", pa.list_(pa.int32())),
        ("baseline_values", pa.list_(pa.float64())),
    ]
)
NAME = pa.dictionary(pa.int32(), pa.string())
EDGES = pa.schema(
    [
        ("row", pa.int64()),
        ("site", pa.int16()),
        ("head", pa.int16()),
        ("query", pa.int32()),
        ("key", pa.int32()),
        ("query_token", NAME),
        ("key_token", NAME),
        ("score", pa.float64()),
        ("attention", pa.float32()),
    ]
)
HEADS = pa.schema(
    [
        ("row", pa.int64()),
        ("site", pa.int16()),
        ("head", pa.int16()),
        ("max", pa.float64()),
        ("sum", pa.float64()),
        ("mean_abs", pa.float64()),
    ]
)
SCHEMAS = {"inputs": INPUTS, "edges": EDGES, "heads": HEADS}
# the files of a shard, by store
FILES = {
    "heads": {"inputs", "heads"},
    "edges": {"inputs", "heads", "edges"},
    "dense": {"inputs", "heads", "scores"},
}
