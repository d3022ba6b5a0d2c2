"""Files that are damaged, or made to do harm, are refused; those of before there were digests are read."""

from __future__ import annotations

import contextlib
import functools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes
from test_result import same

import attattr
import handmade
import tiny
from attattr import Attributor, Example, FileFormatError, InputError, open_run
from attattr.choices import KEPT
from attattr.data.examples import read_examples
from attattr.data.run_folder import sound
from attattr.disk import digests
from attattr.disk.checked import signed
from attattr.disk.tensors import digest
from attattr.heads.importance import HeadRanking, Importance, load_heads
from attattr.page import triggers as triggers_page
from attattr.report import triggers_table
from attattr.runs.run import attribute_data
from attattr.runs.shard import Work
from attattr.triggers.attack_file import read_attack
from attattr.triggers.mine import mine_triggers
from attattr.triggers.pattern import Pattern, PatternToken, read_patterns

BEFORE = Path(__file__).parents[1] / "fixtures" / "first_version"
TABLES = ("inputs", "edges", "heads")


# -- what was written before ----------------------------------------------------------------------------


@pytest.mark.parametrize("store", KEPT)
def test_results_of_before_are_read(store):
    assert same(attattr.load(BEFORE / f"{store}.attattr"), handmade.attribution(store))


def test_a_run_of_before_is_read():
    run = open_run(BEFORE / "run")
    assert run.complete and run.finished == (0, 1)
    assert run.batches == {"inputs_each": [[1], [1]], "padding_share": 0.0}  # they stood in the manifest
    inputs = run.inputs.to_table().to_pylist()
    assert [row["text"] for row in inputs] == ["a fine film", "dull and slow"]
    assert [row["prediction"] for row in inputs] == ["positive", "negative"]
    edges = run.edges.to_table().to_pylist()
    assert len(edges) == 2 * 6 * 256
    strongest = max(edges, key=lambda edge: edge["score"])
    assert strongest["key_token"] == "fine"
    assert strongest["score"] == 0.023723304271697998
    assert run.heads.count_rows() == 2 * 6 * 12
    assert [example.label for example in read_examples(BEFORE / "run")[0]] == ["positive", "negative"]


def test_heads_of_before_are_read_with_a_warning():
    with pytest.warns(UserWarning, match=r"heads\.parquet' has no checksum"):
        ranking = load_heads(BEFORE / "heads.parquet")
    assert ranking.ranked("attattr")[:2] == [(5, 1), (5, 9)]
    assert ranking.of("attattr").mean.shape == (6, 12)
    assert ranking.of("attattr").mean[0, 1] == pytest.approx(2.53965842e-05)
    assert np.isnan(ranking.of("random").low).all() and ranking.facts["model"]["name"] == "sst2"


def test_patterns_of_before_are_read_with_a_warning():
    with pytest.warns(UserWarning, match=r"2 of 2 patterns.*patterns\.jsonl"):
        first, second = read_patterns(BEFORE / "patterns.jsonl")
    assert (first.text, first.label, first.model) == ("fine@0.67", "positive", None)
    assert second.score == 0.018420428037643433


def test_an_attack_of_before_is_read_with_a_warning():
    with pytest.warns(UserWarning, match=r"attack\.json' has no \"sha256\""):
        facts = read_attack(BEFORE / "attack.json")
    assert facts["worst"]["overall"][0]["accuracy"] == 0.5
    assert "dull + slow" in triggers_table.markdown(facts) and "dull + slow" in triggers_page.page(facts)


# -- any damage -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Files that are read as one. `read` gives a value to be compared with what it gave of the whole ones."""

    path: Path
    read: Callable[[], Any]


def files_of(case: Case) -> list[Path]:
    return sorted(f for f in case.path.rglob("*") if f.is_file()) if case.path.is_dir() else [case.path]


def damaged(whole: bytes, draw: random.Random) -> bytes:
    """Cut short, something appended, or most often a byte changed (in one bit, or in any)."""
    kind = draw.choice(["cut", "more"] + 8 * ["byte"])
    if kind == "cut":
        return whole[: draw.randrange(len(whole))]
    if kind == "more":
        return whole + draw.randbytes(draw.randint(1, 9))
    changed = bytearray(whole)
    changed[draw.randrange(len(whole))] ^= draw.choice([1 << draw.randrange(8), draw.randrange(1, 256)])
    return bytes(changed)


def refused_or_equal(case: Case, file: Path, times: int, *more: type[Exception]) -> None:
    whole, expected = file.read_bytes(), case.read()
    draw = random.Random(file.name)
    refused = 0
    errors: Any = (FileFormatError, *more)
    for _ in range(times):
        content = damaged(whole, draw)
        file.write_bytes(content)
        try:
            found = case.read()
        except errors:
            refused += 1
        else:
            assert same(found, expected) or _picked(found, expected, content), content
    file.write_bytes(whole)
    assert same(case.read(), expected)
    assert refused > 0.5 * times


def _picked(found: Any, expected: Any, content: bytes) -> bool:
    """Lines of patterns that are left are patterns: only whole ones may be missing."""
    lines = isinstance(expected, list) and isinstance(expected[0], Pattern)
    return lines and content.endswith((b"\n", b"}")) and same(found, expected[: len(found)])


@pytest.fixture(scope="module")
def result_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for store in KEPT:
        handmade.attribution(store).save(folder / f"{store}.attattr")
    paths = {store: folder / f"{store}.attattr" for store in KEPT}
    return {store: Case(path, functools.partial(attattr.load, path)) for store, path in paths.items()}


@pytest.fixture(scope="module")
def attributor():
    model = tiny.bert(labels=2)
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    return Attributor(model, tiny.tokenizer())


ROWS = [
    Example(text, label=label, line=line)
    for line, (text, label) in enumerate([("a fine film", "good"), ("not good", "bad"), ("bad", "bad")], 2)
]
WORK = {store: Work(n_steps=4, store=store) for store in KEPT}


@pytest.fixture(scope="module", params=KEPT)
def run_folder(request, attributor, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    attribute_data(attributor, ROWS, out, work=WORK[request.param], shard_size=2)
    (out / ".lock").unlink(missing_ok=True)
    (out / "left_out.jsonl").unlink()

    def read() -> Any:
        run = open_run(out)
        names = [name for name in TABLES if (out / name).is_dir()]
        tables = [getattr(run, name).to_table().to_pylist() for name in names]
        if not all(sound(out, number, run.manifest) for number in run.finished):  # the scores, too
            raise FileFormatError("a resumed run would make it again")
        return run.manifest, run.finished, tables, read_examples(out)[0]

    return Case(out, read)


def a_ranking() -> HeadRanking:
    draw = np.random.default_rng(0)
    made = {name: Importance(*draw.random((3, 2, 3))) for name in ("attattr", "taylor")}
    made["random"] = Importance(np.arange(6.0).reshape(2, 3), *np.full((2, 2, 3), np.nan))
    return HeadRanking(made, ("layer.0", "layer.1"), ("ab", "cd"), {"model": {"name": "m"}, "n": 2})


@pytest.fixture(scope="module")
def heads_table(tmp_path_factory):
    path = tmp_path_factory.mktemp("heads") / "heads.parquet"
    a_ranking().save(path)

    def read() -> Any:
        found = load_heads(path)
        # as numbers: one "not a number" is as good as another
        numbers = {
            name: [of.mean.tolist(), of.low.tolist(), of.high.tolist()]
            for name, of in found.importances.items()
        }
        return numbers, found.sites, found.rows, found.facts

    return Case(path, read)


@pytest.fixture(scope="module")
def patterns_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("patterns") / "patterns.jsonl"
    patterns = [
        Pattern(
            (PatternToken(0, 0.5, word), PatternToken(1, 1.0, "nicht „é“")), 0.5, 2, "good", "bad", False,
            ("ab", "cd"), ({"good": 3}, None), {"bad": 2, "good": 5}, {"name": "m", "parameters": 9},
        )
        for word in ("fine", "dull")
    ]  # fmt: skip
    path.write_text("".join(pattern.line() for pattern in patterns), encoding="utf-8")
    return Case(path, lambda: read_patterns(path))


@pytest.fixture(scope="module")
def attack_json(tmp_path_factory):
    path = tmp_path_factory.mktemp("attack") / "attack.json"
    facts = json.loads((BEFORE / "attack.json").read_text())
    path.write_text(json.dumps(signed(facts), indent=2) + "\n")
    return Case(path, lambda: read_attack(path))


quick_and_slow = pytest.mark.parametrize("times", [40, pytest.param(300, marks=pytest.mark.slow)])


@quick_and_slow
@pytest.mark.parametrize("store", KEPT)
def test_a_damaged_result_is_refused(result_files, store, times):
    refused_or_equal(result_files[store], result_files[store].path, times)


@quick_and_slow
def test_a_damaged_run_is_refused(run_folder, times):
    files = files_of(run_folder)
    assert {file.parent.name for file in files} >= {"run", "shards", "inputs", "heads"}
    for file in files:
        refused_or_equal(run_folder, file, max(5, times // len(files)) if times < 100 else times)


@quick_and_slow
def test_a_damaged_table_of_heads_is_refused(heads_table, times):
    refused_or_equal(heads_table, heads_table.path, times)


@quick_and_slow
def test_a_damaged_file_of_patterns_is_refused(patterns_file, times):
    refused_or_equal(patterns_file, patterns_file.path, times, InputError)


@quick_and_slow
def test_a_damaged_attack_is_refused(attack_json, times):
    refused_or_equal(attack_json, attack_json.path, times, InputError)


# -- results made to do harm: the checksum is right -----------------------------------------------------


def rewritten(path: Path, facts: Any, arrays: dict[str, np.ndarray]) -> None:
    text = facts if isinstance(facts, str) else json.dumps(facts)
    path.write_bytes(to_bytes(arrays, {"attattr": text, "sha256": digest(text, arrays)}))


def parts(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["attattr"]), load_file(path)


def change(facts: Any, where: str, value: Any) -> None:
    *outer, last = where.split(".")
    for key in outer:
        facts = facts[int(key) if isinstance(facts, list) else key]
    facts[int(last) if isinstance(facts, list) else last] = value


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ("axes", {}, "axes"),
        ("axes.input.tokens", [], "differ in length"),
        ("axes.input.special", [True], "differ in length"),
        ("axes.input", {"tokens": [], "segments": [], "words": [], "special": []}, "no tokens"),
        ("axes.input.tokens", "abcde", "tokens: .*tuple"),
        ("prediction", None, "prediction"),
        ("prediction.probabilities", [1], "probabilities"),
        ("target.index", 1, "target.index"),
        ("target.position", 5, "about a token that is not there"),
        ("target.position", 1 << 80, "about a token that is not there"),
        ("prediction.position", -1, "about a token that is not there"),
        ("options", [], "options"),
        ("model.revision", {}, "string"),
        ("sites", {}, "sites"),
        ("sites.0.n_heads", 3, "shape"),
        ("sites.0.n_heads", 10**12, "shape"),
        ("sites.0.query_axis", "none", "axis none"),
        ("sites.1.n_steps", "many", "n_steps"),
        ("text", 1, "text"),
        ("truncated", None, "truncated"),
    ],
)
@pytest.mark.parametrize("store", KEPT)
def test_a_result_of_the_wrong_shape_is_refused(tmp_path, store, where, value, words):
    path = tmp_path / "x"
    handmade.attribution(store).save(path)
    facts, arrays = parts(path)
    change(facts, where, value)
    rewritten(path, facts, arrays)
    with pytest.raises(FileFormatError, match=words):
        attattr.load(path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("head", [0, 1, 2], "invalid entry"),
        ("query", [-1, 0, 0], "invalid entry"),
        ("key", [0, 1, 5], "invalid entry"),
        ("key", [0, 1], "shape"),
        ("head", [0.0, 1.0, 0.0], "shape"),
        ("score", [0.1, 0.2, 0.3], "strongest first"),
        ("score", [0.3, np.nan, 0.1], "strongest first"),
        ("score", [[0.3, 0.2, 0.1]], "shape"),
    ],
)
def test_edges_that_cannot_be_are_refused(tmp_path, name, value, words):
    path = tmp_path / "x"
    handmade.attribution("edges").save(path)
    facts, arrays = parts(path)
    kind = np.float32 if name == "score" else None
    made = np.array(value, kind)
    arrays[f"1.edges.{name}"] = made.astype(np.int32) if made.dtype == np.int64 else made
    rewritten(path, facts, arrays)
    with pytest.raises(FileFormatError, match=words):
        attattr.load(path)
    for side in ("head", "query", "key"):
        arrays[f"1.edges.{side}"] = np.zeros(3, np.int32)
    arrays["1.edges.score"] = np.zeros(3, np.float32)
    rewritten(path, facts, arrays)
    with pytest.raises(FileFormatError, match="name one twice"):
        attattr.load(path)


def test_a_result_that_lacks_an_array_is_refused(tmp_path):
    path = tmp_path / "x"
    for store in KEPT:
        handmade.attribution(store).save(path)
        facts, arrays = parts(path)
        for name in arrays:
            rewritten(path, facts, {other: array for other, array in arrays.items() if other != name})
            with pytest.raises(FileFormatError, match="arrays of one store"):
                attattr.load(path)


def test_json_that_nests_deeply_is_refused(tmp_path):
    path = tmp_path / "x"
    handmade.attribution("heads").save(path)
    _, arrays = parts(path)
    for depth in (33, 500, 100_000):
        rewritten(path, '{"version": "1", "options": ' + "[" * depth + "]" * depth + "}", arrays)
        with pytest.raises(FileFormatError, match="nests too deeply"):
            attattr.load(path)
    header = b"[" * 100_000
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(FileFormatError, match="nests too deeply"):
        attattr.load(path)


def a_sparse_file(path: Path, facts: Any, entries: dict[str, Any], size: int) -> None:
    """A file with a header and nothing but a hole behind it."""
    about = {"attattr": json.dumps(facts), "sha256": "0" * 64}
    header = json.dumps({"__metadata__": about} | entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)


def test_a_small_file_that_claims_much_takes_no_memory(tmp_path):
    """Whether the file is as short as it looks or has a hole that long."""
    import tracemalloc

    path = tmp_path / "x"
    handmade.attribution().save(path)
    facts, _ = parts(path)
    size = 300_000_000
    facts["sites"][0]["n_heads"] = size // 100
    entry = {"dtype": "F32", "shape": [size // 100, 5, 5], "data_offsets": [0, size]}
    tracemalloc.start()
    try:
        for length in (size, 0, 100):
            a_sparse_file(path, facts, {"0.scores": entry}, length)
            with pytest.raises(FileFormatError):
                attattr.load(path)
        path.write_bytes((99_000_000_000).to_bytes(8, "little") + b"{}")
        with pytest.raises(FileFormatError, match="no safetensors file"):
            attattr.load(path)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


ODD = [None, True, -1, 0, 10**30, 1e300, float("nan"), "", "x", [], [[]], {}, {"x": []}, [None], ["a", 1]]


@pytest.mark.parametrize("times", [60, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("store", KEPT)
def test_what_is_loaded_can_be_used(tmp_path, store, times):
    """Anything at any place of the JSON, with a right checksum: refused, or all views hold."""
    path = tmp_path / "x"
    handmade.attribution(store).save(path)
    whole, arrays = parts(path)
    places = _places(whole)
    draw = random.Random(store)
    loaded = 0
    for _ in range(times):
        facts = json.loads(json.dumps(whole))
        change(facts, draw.choice(places), draw.choice(ODD))
        rewritten(path, facts, arrays)
        try:
            found = attattr.load(path)
        except FileFormatError:
            continue
        loaded += 1
        use(found)
    assert 0 < loaded < times


def _places(facts: Any, at: str = "") -> list[str]:
    """Every place in JSON values, as names joined by dots."""
    items = facts.items() if isinstance(facts, dict) else enumerate(facts) if isinstance(facts, list) else ()
    places = []
    for key, value in items:
        here = f"{at}.{key}" if at else str(key)
        places += [here, *_places(value, here)]
    return places


def use(result: attattr.Attribution) -> None:
    for view in (
        lambda: result.top_edges(3), lambda: result.per_head(), lambda: result.per_token("query"),
        lambda: json.dumps(result.to_json(1), allow_nan=False), lambda: result.to_html(),
        lambda: attattr.build_tree(result), lambda: result.scores, lambda: attattr.merge_words(result),
    ):  # fmt: skip
        with contextlib.suppress(InputError):
            view()


# -- runs ----------------------------------------------------------------------------------------------


@pytest.fixture
def a_run(attributor, tmp_path):
    out = tmp_path / "run"
    attribute_data(attributor, ROWS, out, work=WORK["edges"], shard_size=2)
    return out


def again(out: Path, attributor: Attributor):
    return attribute_data(attributor, ROWS, out, work=WORK["edges"], shard_size=2)


def test_a_file_is_compared_with_its_digest_once_an_opened_run(a_run, monkeypatch):
    hashed = []
    whole = digests.sha256
    monkeypatch.setattr(digests, "sha256", lambda path: hashed.append(path) or whole(path))
    run = open_run(a_run)
    assert hashed == []
    _ = run.edges, run.edges
    assert hashed == [a_run / "edges" / "00000.parquet", a_run / "edges" / "00001.parquet"]
    _ = open_run(a_run).heads
    assert [file.parent.name for file in hashed[2:]] == ["heads", "heads"]


@pytest.mark.parametrize("table", TABLES)
def test_a_changed_table_is_refused_by_every_reader_and_made_again(a_run, attributor, table):
    expected = open_run(a_run).edges.to_table()
    file = a_run / table / "00001.parquet"
    rows = pq.read_table(file)
    pq.write_table(rows.slice(1), file)  # a sound table, but another
    with pytest.raises(FileFormatError, match=rf"{table}/00001\.parquet' is not as it was.*run again"):
        getattr(open_run(a_run), table)
    with pytest.raises(FileFormatError):
        mine_triggers(attributor, open_run(a_run))
    if table == "inputs":
        with pytest.raises(FileFormatError):
            read_examples(a_run)
    assert again(a_run, attributor).edges.to_table().equals(expected)
    file.unlink()
    with pytest.raises(FileFormatError, match="cannot be read"):
        getattr(open_run(a_run), table)


def test_a_table_of_other_columns_is_refused_though_its_digest_is_right(a_run):
    file, marker = a_run / "heads" / "00000.parquet", a_run / "shards" / "00000.json"
    pq.write_table(pa.table({"row": ["a"]}), file)
    facts = json.loads(marker.read_text())
    facts["files"]["heads"] = digests.sha256(file)
    del facts["sha256"]
    marker.write_text(json.dumps(signed(facts)))
    with pytest.raises(FileFormatError, match="not as it was written"):
        _ = open_run(a_run).heads


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"files": {}}', "null", "[" * 100_000, b"\xff", "rows", "other rows", "edges", "gap"],
)
def test_a_marker_of_the_wrong_shape_is_refused_and_its_shard_made_again(a_run, attributor, content):
    marker = a_run / "shards" / "00001.json"
    whole = marker.read_text()
    facts = json.loads(whole)
    bare = {name: value for name, value in facts.items() if name != "sha256"}
    content = {
        "rows": json.dumps(bare | {"rows": 10**12}),
        "other rows": json.dumps(bare | {"rows": 2}),
        "edges": json.dumps(bare | {"files": {"edges": facts["files"]["edges"]}}),
        "gap": json.dumps(facts | {"worst_gap": 0.0}),
    }.get(content, content)
    marker.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (open_run, read_examples):
        with pytest.raises(FileFormatError, match=r"00001\.json' is damaged.*start the run again"):
            read(a_run)
    assert again(a_run, attributor).complete
    assert marker.read_text() == whole


def test_a_run_that_ends_before_a_damaged_shard_is_reached_can_be_read(a_run, attributor):
    for number in (0, 1):
        (a_run / "shards" / f"{number:05d}.json").write_text("[]")
    run = attribute_data(attributor, ROWS, a_run, work=WORK["edges"], shard_size=2, stop=lambda: True)
    assert run.finished == (0,) and not run.complete


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ("shards.count", 10**12, "3 rows do not make"),
        ("shards.count", 3, "3 rows do not make"),
        ("shards.size", 0, "shards.size"),
        ("shards", [], "shards"),
        ("options.store", "all", "options.store"),
        ("model", None, "model"),
        ("data.rows", "many", "data.rows"),
        ("more", 1, "unknown key 'more'"),
    ],
)
@pytest.mark.parametrize("old", [True, False])
def test_a_manifest_of_the_wrong_shape_is_refused(a_run, attributor, where, value, words, old):
    path = a_run / "manifest.json"
    facts = json.loads(path.read_text())
    change(facts, where, value)
    if old:
        del facts["sha256"]
    path.write_text(json.dumps(facts))
    for read in (open_run, read_examples, lambda out: again(out, attributor)):
        with pytest.raises(FileFormatError, match=words if old else "checksum differs"):
            read(a_run)


@pytest.mark.parametrize("content", ["[]", "{}", "null", "", "[" * 100_000, '{"format": 1}'])
def test_a_manifest_that_is_none_is_refused(a_run, content):
    (a_run / "manifest.json").write_text(content)
    with pytest.raises(FileFormatError, match="is damaged"):
        open_run(a_run)


def test_a_manifest_and_markers_without_a_digest_are_taken(a_run):
    for path in (a_run / "manifest.json", *a_run.glob("shards/*.json")):
        facts = json.loads(path.read_text())
        assert facts.pop("sha256") == digests.of_json(facts)
        path.write_text(json.dumps(facts))
    assert open_run(a_run).complete and "sha256" not in open_run(a_run).manifest


# -- heads, attacks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change_rows", "words"),
    [
        (lambda rows: rows[:-1], "every head once"),
        (lambda rows: [*rows[:-1], rows[0]], "every head once"),
        (lambda rows: [row | {"head": row["head"] + 10**12} for row in rows], "every head once"),
        (lambda rows: [row | {"site": row["site"] + 1} for row in rows], "every head once"),
        (lambda rows: [row | {"importance": "much"} for row in rows], "importance"),
        (lambda rows: [{"criterion": row["criterion"]} for row in rows], "site"),
        (lambda rows: rows[:0], "criterion"),
    ],
)
def test_a_table_that_is_no_grid_is_refused(tmp_path, change_rows, words):
    path = tmp_path / "heads.parquet"
    a_ranking().save(path)
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[b"attattr"]) | {"version": "1"}
    del facts["sha256"]
    rows = change_rows(table.to_pylist())
    changed = pa.Table.from_pylist(rows, schema=None if rows else table.schema)
    pq.write_table(changed.replace_schema_metadata({"attattr": json.dumps(facts)}), path)
    with pytest.raises(FileFormatError, match=words):
        load_heads(path)


def test_rows_of_heads_may_stand_in_any_order(tmp_path):
    path = tmp_path / "heads.parquet"
    a_ranking().save(path)
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[b"attattr"]) | {"version": "1"}
    del facts["sha256"]
    turned = table.take(list(range(table.num_rows))[::-1])
    pq.write_table(turned.replace_schema_metadata({"attattr": json.dumps(facts)}), path)
    with pytest.warns(UserWarning, match="no checksum"):
        found = load_heads(path)
    np.testing.assert_array_equal(found.of("taylor").mean, a_ranking().of("taylor").mean)


def test_a_table_of_heads_of_a_newer_version_says_so(tmp_path, monkeypatch):
    from attattr.heads import table as heads_table

    monkeypatch.setattr(heads_table, "VERSION", "3")
    a_ranking().save(tmp_path / "heads.parquet")
    monkeypatch.undo()
    with pytest.raises(FileFormatError, match="version 3, not 2: upgrade"):
        load_heads(tmp_path / "heads.parquet")


@pytest.mark.parametrize("times", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_an_attack_that_is_read_can_be_reported(tmp_path, times):
    """Anything at any place, with a right checksum: refused, or all reports can be written."""
    whole = (BEFORE / "attack.json").read_text()
    places = _places(json.loads(whole))
    draw = random.Random(0)
    refused = 0
    for _ in range(times):
        facts = json.loads(whole)
        change(facts, draw.choice(places), draw.choice(ODD))
        (tmp_path / "x").write_text(json.dumps(signed(facts)))
        try:
            found = read_attack(tmp_path / "x")
        except (FileFormatError, InputError):
            refused += 1
            continue
        for report in (triggers_table.markdown, triggers_page.page):
            report(found)
    assert refused > times / 3
