"""Texts and files as Examples, and what is said where they cannot be read."""

from __future__ import annotations

import csv
import functools
import gzip
import http.server
import importlib.util
import json
import threading
from pathlib import Path

import pytest

from attattr.data.examples import Example, as_examples, read_examples
from attattr.data.labels import classes
from attattr.errors import InputError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data beside the repository")


def written(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


# -- texts ---------------------------------------------------------------------------------------------


def test_texts_pairs_tensors_and_examples_mix():
    tensors = {"input_ids": [1, 2]}
    own = Example("x", label="y")
    assert as_examples(["a", ("b",), ("c", "d"), tensors, own]) == [
        Example("a"), Example("b"), Example("c", "d"), Example(inputs=tensors), own,
    ]  # fmt: skip


@pytest.mark.parametrize("alone", ["a", ("a", "b"), {"input_ids": [1]}, Example("a")])
def test_one_input_alone_is_a_list_of_one(alone):
    assert as_examples(alone) == as_examples([alone])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("", "text is empty"),
        (" \n\t", "text is empty"),
        (("a", " "), "second text is empty"),
        (("a", "b", "c"), "not 3"),
        ((), "not 0"),
        (("a", 3), "second text must be a string, not a int"),
        (3, "not a int"),
        (None, "not a NoneType"),
        (["a", "b"], "tuple of two texts"),
        ({}, "names them"),
        ({1: [2]}, "names them"),
        (Example(), "needs a text"),
        (Example("a", inputs={"input_ids": [1]}), "not both"),
    ],
)
def test_what_is_no_input_is_an_error_that_says_why(bad, message):
    with pytest.raises(InputError, match=message):
        as_examples([bad])


# -- the shared files ----------------------------------------------------------------------------------


@shared
@pytest.mark.parametrize(
    ("name", "rows", "labels", "pair"),
    [
        ("mnli_dev_matched", 9815, {"entailment", "neutral", "contradiction"}, True),
        ("sst2_dev", 872, {"negative", "positive"}, False),
        ("mrpc_dev", 408, {"equivalent", "not_equivalent"}, True),
        ("rte_dev", 277, {"entailment", "not_entailment"}, True),
    ],
)
def test_shared_files_are_read_whole(name, rows, labels, pair):
    path = SHARED / f"{name}.tsv.gz"
    examples, problems = read_examples(path)
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    assert len(examples) == rows
    assert not problems
    assert {example.label for example in examples} == labels
    for example in examples:  # text by text what the file holds, at the line it says
        first, second, label = lines[example.line - 1].split("\t")
        assert (example.text, example.text_pair or "", example.label) == (first, second, label)
    assert all((example.text_pair is not None) == pair for example in examples)


@shared
def test_mnli_training_texts_that_say_n_a_stay_texts():
    examples, problems = read_examples(SHARED / "mnli_train.tsv.gz")
    assert len(examples) == 76994
    assert not problems
    assert sum(example.text_pair == "n/a" for example in examples) > 0


# -- formats -------------------------------------------------------------------------------------------

ROWS = [
    {"premise": 'a "b', "hypothesis": "n/a", "label": "x"},
    {"premise": "c", "hypothesis": "NA", "label": "y"},
]
TSV = 'premise\thypothesis\tlabel\na "b\tn/a\tx\nc\tNA\ty\n'
CSV = 'premise,hypothesis,label\n"a ""b",n/a,x\nc,NA,y\n'


def parquet(path: Path, rows: dict, **features) -> Path:
    import datasets

    plain = path.with_suffix("") if path.suffix == ".gz" else path
    kinds = {name: datasets.Value("string") for name in rows} | features
    datasets.Dataset.from_dict(rows, features=datasets.Features(kinds)).to_parquet(plain)
    return path if plain == path else written(path, plain.read_bytes())


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("extension", [".tsv", ".csv", ".jsonl", ".json", ".parquet"])
def test_every_format_gives_the_same_rows(tmp_path, extension, packed):
    path = tmp_path / f"rows{extension}{packed}"
    contents = {".tsv": TSV, ".csv": CSV, ".json": json.dumps(ROWS)}
    contents[".jsonl"] = "".join(json.dumps(row) + "\n" for row in ROWS)
    if extension == ".parquet":
        parquet(path, {name: [row[name] for row in ROWS] for name in ROWS[0]})
    else:
        written(path, contents[extension])
    examples, problems = read_examples(path)
    assert not problems
    assert [(e.text, e.text_pair, e.label) for e in examples] == [('a "b', "n/a", "x"), ("c", "NA", "y")]
    first = 2 if extension in (".tsv", ".csv") else 1
    assert [e.line for e in examples] == [first, first + 1]


def test_class_labels_become_names_and_minus_one_none(tmp_path):
    import datasets

    path = parquet(
        tmp_path / "x.parquet",
        {"idx": ["7", "8", "9"], "sentence": ["a", "b", "c"], "label": [1, 0, -1]},
        label=datasets.ClassLabel(names=["bad", "good"]),
    )
    examples, problems = read_examples(path)
    assert examples == [Example("a", label="good", id="7", line=1), Example("b", label="bad", id="8", line=2)]
    assert problems == [(3, "no label in label")]


def test_bom_and_windows_line_ends(tmp_path):
    path = written(tmp_path / "x.tsv", b"\xef\xbb\xbftext\tlabel\r\na\tx\r\nb\ty\r\n")
    examples, _ = read_examples(path)
    assert [(e.text, e.label, e.line) for e in examples] == [("a", "x", 2), ("b", "y", 3)]


def test_nothing_is_left_in_the_cache_and_settings_are_as_before(tmp_path, monkeypatch):
    import datasets

    before = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    read_examples(written(tmp_path / "x.tsv.gz", TSV))
    assert not (tmp_path / "cache").exists()
    assert before == (datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled())


# -- rows ----------------------------------------------------------------------------------------------


def test_rows_that_cannot_be_used_are_named_by_line(tmp_path):
    body = "premise\thypothesis\tlabel\na\tb\tx\n\tb\tx\na\t \tx\na\tb\t\na\tb\n\nc\td\t-\nc\td\ty\n"
    examples, problems = read_examples(written(tmp_path / "x.tsv", body))
    assert [example.line for example in examples] == [2, 9]
    assert problems == [
        (3, "no text in premise"),
        (4, "no text in hypothesis"),
        (5, "no label in label"),
        (6, "no label in label"),
        (7, "no text in premise and hypothesis"),
        (8, "no label in label"),
    ]


def test_lines_count_breaks_inside_quotes_and_blank_lines(tmp_path):
    table = written(tmp_path / "x.csv", 'text,label\n"a\nb",x\nc,\nd,y\n')
    examples, problems = read_examples(table)
    assert [(e.text, e.line) for e in examples] == [("a\nb", 2), ("d", 5)]
    assert problems[0].line == 4
    lines = written(tmp_path / "x.jsonl", '{"text": "a"}\n\n{"text": null}\n{"text": "b"}\n')
    examples, problems = read_examples(lines)
    assert [e.line for e in examples] == [1, 4]
    assert problems == [(3, "no text in text")]


def test_a_second_column_that_is_empty_throughout_means_single_texts(tmp_path):
    examples, problems = read_examples(
        written(tmp_path / "x.tsv", "sentence1\tsentence2\tlabel\na\t\tx\nb\t\ty\n")
    )
    assert [e.text_pair for e in examples] == [None, None]
    assert not problems


def test_a_limit_draws_by_seed_and_keeps_the_order(tmp_path):
    path = written(tmp_path / "x.tsv", "text\n" + "".join(f"t{i}\n" for i in range(50)))
    drawn = [[e.line or 0 for e in read_examples(path, limit=10, seed=seed)[0]] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == sorted(drawn[0])
    assert len(set(drawn[0])) == 10
    assert drawn[0] != list(range(2, 12))
    assert len(read_examples(path, limit=1000)[0]) == 50
    with pytest.raises(InputError, match="whole number from 1"):
        read_examples(path, limit=0)


def test_fields_of_any_length_are_read_and_csv_is_left_as_it_was(tmp_path):
    before = csv.field_size_limit()
    long = "film " * 100_000  # 131,072 characters are what csv takes unless told
    for name, sign in (("x.csv", ","), ("x.tsv", "\t")):
        path = written(tmp_path / name, f"text{sign}label\n{long}{sign}x\nb{sign}y\n")
        assert [(e.text, e.label) for e in read_examples(path)[0]] == [(long, "x"), ("b", "y")]
    path = written(tmp_path / "y.csv", f"text,label\na,x\n{long},y,z\n")
    with pytest.raises(InputError, match="3 fields in line 3"):
        read_examples(path)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("quoted", [True, False])
def test_values_stay_as_they_are_written(tmp_path, quoted):
    """pandas and pyarrow make numbers, dates and nothing of them."""
    values = ["NA", "None", "nan", "007", "1e3", "2020-01-01", "true", "1"]
    rows = [f'"{value}",{value}' if quoted else f"{value},{value}" for value in values]
    for path in (
        written(tmp_path / "x.csv", "\n".join(["text,label", *rows])),
        written(tmp_path / "x.jsonl", "".join(json.dumps({"text": v, "label": v}) + "\n" for v in values)),
    ):
        examples, _ = read_examples(path)
        assert [(e.text, e.label) for e in examples] == [(value, value) for value in values]


def test_half_a_character_is_told_with_its_line(tmp_path):
    path = written(tmp_path / "x.jsonl", '{"text": "a"}\n{"text": "b \\ud800"}\n{"text": "\\ud83d\\ude00"}\n')
    examples, problems = read_examples(path)
    assert [e.text for e in examples] == ["a", "\U0001f600"]
    assert problems == [(2, "not valid UTF-8: it has half a character in it")]


# -- labels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("1 0 -1", ["1", "0", None]),
        ("-1 -1 -1", [None, None, None]),
        ("1.0 -1.0 0.0", ["1.0", None, "0.0"]),
        ("3.8 -1 -0.25", ["3.8", "-1", "-0.25"]),  # scores
        ("left -1 -", ["left", "-1", None]),
    ],
)
def test_minus_one_is_no_label_beside_numbers_of_classes(tmp_path, given, read):
    for name, rows in {
        "x.tsv": ["text\tlabel", *(f"a\t{label}" for label in given.split())],
        "x.jsonl": [json.dumps({"text": "a", "label": _number(label)}) for label in given.split()],
    }.items():
        path = written(tmp_path / name, "\n".join(rows))
        examples, problems = read_examples(path, unlabelled=True)
        assert [e.label for e in examples] == read
        assert not problems
        if any(read):
            examples, problems = read_examples(path)
            assert [e.label for e in examples] == [label for label in read if label]
            assert {reason for _, reason in problems} <= {"no label in label"}


def _number(label):
    try:
        return int(label) if "." not in label else float(label)
    except ValueError:
        return label


def test_a_gap_in_a_column_of_scores_is_no_label(tmp_path):
    import datasets

    path = parquet(
        tmp_path / "x.parquet",
        {"text": ["a", "b", "c"], "label": [2.5, None, float("nan")]},
        label=datasets.Value("float64"),
    )
    assert [e.label for e in read_examples(path, unlabelled=True)[0]] == ["2.5", None, None]


@pytest.mark.parametrize("labels", [["0", "1"], ["1.0", "0.0"], ["1"]])
def test_numbers_are_the_models_classes_in_its_order_and_that_is_said(labels):
    with pytest.warns(UserWarning, match="0 is bad, 1 is good"):
        found = classes(["bad", "good"], labels)
    assert found == {label: int(float(label)) for label in labels}


@pytest.mark.parametrize(
    ("names", "labels", "found"),
    [
        (["1", "0"], ["0", "1"], {"0": 1, "1": 0}),  # names first
        (["bad", "good"], ["BAD", "good"], {"BAD": 0, "good": 1}),
        (["bad", "good"], ["0", "1", "2"], {}),  # of another task: not one is believed
        (["bad", "good"], ["0", "good"], {"good": 1}),
        (["bad", "good"], ["0.5", "1.0"], {}),
        (["bad", "good"], ["-1", "1"], {}),
        (["1", "2"], ["1.0", "2.0"], {"1.0": 0, "2.0": 1}),  # 1.0 is the class called 1, not the second
        (["1", "2"], ["1.0"], {"1.0": 0}),
        (["1", "0"], ["0.0", "1.0"], {"0.0": 1, "1.0": 0}),
        (["5", "6"], ["0", "1"], {}),  # classes called by numbers are not counted
        (["bad", "good"], ["1" * 400, "0"], {}),
        (["bad", "good"], [], {}),
    ],
)
def test_labels_are_names_where_one_of_them_is(names, labels, found):
    assert classes(names, labels) == found


# -- columns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ("sentence1\tsentence2\tlabel", ("s0", "s1", "s2")),
        ("label\tpremise\thypothesis", ("s1", "s2", "s0")),
        ("Question\tgold_label\tSentence", ("s0", "s2", "s1")),
        ("idx\tsentence\tlabel", ("s1", None, "s2")),
        ("text\tother\tlabel_text", ("s0", None, "s2")),
        ("review\ta\tb", ("s0", None, None)),
    ],
)
def test_columns_are_recognised(tmp_path, header, texts):
    (example,), _ = read_examples(written(tmp_path / "x.tsv", f"{header}\ns0\ts1\ts2\n"))
    assert (example.text, example.text_pair, example.label) == texts


def test_columns_can_be_named(tmp_path):
    path = written(tmp_path / "x.tsv", "a\tb\tc\n1\t2\t3\n")
    (example,), _ = read_examples(path, text_columns="c, a", label_column="b")
    assert (example.text, example.text_pair, example.label) == ("3", "1", "2")
    for bad in (
        {"text_columns": "d"},
        {"text_columns": "a,b,c"},
        {"text_columns": "a", "label_column": "d"},
        {},
    ):
        with pytest.raises(InputError, match="it has a, b, c"):
            read_examples(path, **bad)


def test_a_column_of_numbers_is_no_text(tmp_path):
    with pytest.raises(InputError, match="'text' holds int, not text"):
        read_examples(written(tmp_path / "x.jsonl", '{"text": 3, "label": "a"}\n'))


# -- files that cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", "", "is empty"),
        ("x.jsonl", "", "is empty"),
        ("x.tsv.gz", "", "is empty"),
        ("x.tsv", "text\tlabel\n", "no rows"),
        ("x.tsv", "text\ttext\na\tb\n", "a name of its own"),
        ("x.tsv", "text\tlabel\na\tx\ty\n", "3 fields in line 2 for 2 columns"),
        ("x.tsv", "text\tlabel\na\tx\nb\ty\tz\n", "3 fields in line 3 for 2 columns"),
        ("x.tsv", "text\tlabel\n\tx\n\ty\n", "no row of .* line 2: no text in text"),
        ("x.csv", 'text,label\n"a\r\nb",x\nc,x,z\n', "3 fields in line 4 for 2 columns"),
        ("x.csv", 'text,label\n"a\nb",x\n"c,x\nd,x\n', "those of the row in line 4 are not closed"),
        ("x.csv", 'text\n"a', "those of the row in line 2 are not closed"),
        ("x.tsv", b"text\na\nca\xe9\n", "not UTF-8 in line 3: save it in UTF-8"),
        ("x.jsonl", '{"text": "a"}\n\n{"text": "b', "not sound JSON in line 3: Unterminated string"),
        ("x.jsonl", '{"text": "a"}\n\n["b"]\n', "something else than a JSON object in line 3"),
        ("x.jsonl", '{"text": "a"}\n{"text": ' + "[" * 50_000, "not sound JSON in line 2: .*recursion"),
        ("x.json", '[\n {"text": "a"},\n {"text" "b"}]', "not sound JSON in line 3: Expecting ':'"),
        ("x.json", '[{"text": "a"}, 3]', "something else than a JSON object in item 2"),
        ("x.json", "[]", "no rows"),
        ("x.jsonl", "\n\n", "no rows"),
        ("x.parquet", b"PAR1 but no more", "not a sound .parquet"),
        ("x.txt", "text\na\n", "give a file in .tsv"),
        ("x", "text\na\n", "give a file in .tsv"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message):
        read_examples(written(tmp_path / name, content))


def test_broken_gzip(tmp_path):
    whole = gzip.compress(TSV.encode() * 100)
    for content in (b"no gzip at all", whole[: len(whole) // 2], whole[:10] + b"\xff" * 9 + whole[19:]):
        path = tmp_path / "x.tsv.gz"
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot read"):
            read_examples(path)


def test_what_is_not_there(tmp_path, monkeypatch):
    for name in (tmp_path / "x.tsv", "nosuch.csv.gz", "./nosuch"):
        with pytest.raises(InputError, match="there is no file"):
            read_examples(name)
    with pytest.raises(InputError, match="give a file"):
        read_examples(tmp_path)
    monkeypatch.setattr("attattr.models.hub.reachable", lambda: False)
    monkeypatch.setattr("attattr.models.hub.switched_off", lambda: False)
    with pytest.raises(InputError, match="'nosuch/set' is not a file here, and the hub cannot be reached"):
        read_examples("nosuch/set")


# -- files that are elsewhere --------------------------------------------------------------------------


class Cutting(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; of what is called cut…, half."""

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content[: len(content) // 2] if "/cut" in self.path else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """The address of a folder."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(Cutting, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz"])
def test_a_file_at_an_address_is_read_as_one_here(served, name):
    import fsspec

    folder, address = served
    file = written(folder / name, TSV)
    with fsspec.open(f"memory://there/{name}", "wb") as far:
        far.write(file.read_bytes())
    expected = read_examples(file)
    for url in (
        f"memory://there/{name}",
        f"file://{file}",
        f"{address}/{name}",
        f"{address}/{name}?a=b/c.d#e",
    ):
        assert read_examples(url) == expected


def test_half_of_a_file_is_not_taken_for_the_whole(served):
    folder, address = served
    written(folder / "cut.tsv", TSV * 2000)
    with pytest.raises(InputError, match=r"cannot read 'http://.*cut\.tsv': IncompleteRead"):
        read_examples(f"{address}/cut.tsv")


def test_what_is_not_there_elsewhere(served):
    folder, address = served
    written(folder / "empty.tsv", "")
    for url, message in (
        ("memory://nosuch.tsv", "there is no file 'memory://nosuch.tsv'"),
        (f"file://{folder}/nosuch.tsv", "there is no file 'file://.*nosuch.tsv'"),
        (f"{address}/nosuch.tsv", "cannot read 'http://.*nosuch.tsv': HTTP Error 404"),
        (f"{address}/empty.tsv", "'http://.*/empty.tsv' is empty"),
        ("nosuch://x.tsv", "cannot read 'nosuch://x.tsv': Protocol not known"),
        ("memory://x.txt", "cannot read 'memory://x.txt': give a file in .tsv"),
        ("s3://bucket", "give a file in .tsv"),
    ):
        with pytest.raises(InputError, match=message):
            read_examples(url)


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is here")
def test_a_package_that_an_address_needs_is_named():
    with pytest.raises(InputError, match=r"cannot read 's3://bucket/x\.tsv': Install s3fs"):
        read_examples("s3://bucket/x.tsv")
