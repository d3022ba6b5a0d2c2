"""Finished parts on the disk: what is believed, what is computed again, and who may write."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from attattr.disk import files, units
from attattr.disk.held import difference, locked
from attattr.disk.units import MANIFEST, SUFFIX, Resume, Units, opened
from attattr.errors import AttAttrError, InputError

FACTS = {"work": "a", "data": {"rows": 3, "sha256": "x"}, "options": {"seed": 0, "pair": None}}
ARRAYS = {"scores": np.array([[0.1, np.nan], [1e-300, -2.0]]), "right": np.arange(3)}
VALUE = ARRAYS | {"label": "gut", "cut": 2}


def never():
    raise AssertionError("it was computed again")


def fill(folder, *names, facts=FACTS):
    with opened(Resume(folder), facts, 4) as kept:
        for name in names:
            kept.get(name, lambda: VALUE)


def test_what_was_kept_comes_back_to_the_bit(tmp_path):
    fill(tmp_path / "parts", "a")
    with opened(Resume(tmp_path / "parts"), FACTS, 4) as kept:
        found = kept.get("a", never)
    assert found.keys() == VALUE.keys() and found["label"] == "gut" and found["cut"] == 2
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "text"])
def test_a_damaged_part_is_computed_again(tmp_path, harm):
    fill(tmp_path, "a", "b")
    file = tmp_path / f"a{SUFFIX}"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes({"cut": content[:-9], "flip": content, "empty": b"", "text": b"{}" * 40}[harm])
    (tmp_path / files.PARTS.replace("*", "0")).write_text("half")
    told = []
    with opened(Resume(tmp_path, told=lambda *facts: told.append(facts)), FACTS, 4) as kept:
        assert kept.get("a", lambda: {"n": 1}) == {"n": 1}
        kept.get("b", never)
    assert told == [(1, 4)]
    assert not list(tmp_path.glob(files.PARTS))


def test_a_share_of_a_part_is_not_a_part(tmp_path):
    told = []
    with opened(Resume(tmp_path), FACTS, 4) as kept:
        kept.within("a").get("0", lambda: VALUE)
    with opened(Resume(tmp_path, told=lambda *facts: told.append(facts)), FACTS, 4) as kept:
        kept.within("a").get("0", never)
        kept.get("0", dict)
    assert told == [(0, 4)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data": {"rows": 4, "sha256": "y"}}, "data rows is 3, now it is 4"),
        ({"options": {"seed": 1, "pair": None}}, "options seed is 0, now it is 1"),
        ({"work": "b"}, 'work is "a", now it is "b"'),
    ],
)
def test_parts_of_other_work_are_refused_unless_it_begins_anew(tmp_path, change, named):
    fill(tmp_path, "a")
    with pytest.raises(InputError, match=f"{named}.*--fresh"):
        fill(tmp_path, facts=FACTS | change)
    with opened(Resume(tmp_path, fresh=True), FACTS | change, 4) as kept:
        assert kept.get("a", lambda: {"n": 1}) == {"n": 1}
    with pytest.raises(InputError, match="another call"):
        fill(tmp_path)


@pytest.mark.parametrize("harm", [None, "{", '{"work": "a"}'])
def test_parts_that_no_manifest_vouches_for_are_not_used(tmp_path, harm):
    fill(tmp_path, "a")
    if harm is None:
        (tmp_path / MANIFEST).unlink()
    else:
        (tmp_path / MANIFEST).write_text(harm)
    with opened(Resume(tmp_path), FACTS, 4) as kept:
        assert kept.get("a", lambda: {"n": 1}) == {"n": 1}


def hold(folder, ready, leave):
    with locked(folder):
        ready.set()
        leave.wait(60)


def test_a_second_process_is_refused_and_in_a_shared_folder_keeps_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    fill(tmp_path / "own", "a")
    shared = Resume(tmp_path / "shared", shared=True)
    with opened(shared, FACTS, 4) as kept:
        kept.get("a", lambda: VALUE)
    (place,) = shared.opened
    for folder in (tmp_path / "own", place):
        process = context.Process(target=hold, args=(folder, ready, leave))
        process.start()
        assert ready.wait(60)
        if folder == place:
            with opened(shared, FACTS, 4) as kept:
                assert kept.folder is None and kept.get("a", lambda: {"n": 1}) == {"n": 1}
        else:
            with pytest.raises(InputError, match="another process"):
                fill(folder)
        leave.set()
        process.join(60)
        ready.clear()
        leave.clear()


def test_calls_of_other_facts_have_other_folders_in_a_shared_one(tmp_path):
    shared = Resume(tmp_path, shared=True)
    for facts in (FACTS, FACTS | {"work": "b"}):
        with opened(shared, facts, 4) as kept:
            kept.get("a", lambda: VALUE)
    assert len(set(shared.opened)) == 2
    shared.remove()
    assert not tmp_path.exists()


def test_where_nothing_can_be_written_a_shared_folder_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with opened(Resume(tmp_path / "file", shared=True), FACTS, 4) as kept:
        assert kept.get("a", lambda: {"n": 1}) == {"n": 1}
    with pytest.raises(AttAttrError, match="cannot write into"):
        fill(tmp_path / "file")

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(units.files, "write", full)
    assert Units(tmp_path, shared=True).get("a", lambda: {"n": 1}) == {"n": 1}
    with pytest.raises(AttAttrError, match="what is finished stays"):
        Units(tmp_path).get("a", lambda: {"n": 1})


def test_only_what_is_ours_is_removed(tmp_path):
    fill(tmp_path / "parts", "a")
    (tmp_path / "parts" / "notes.txt").write_text("mine")
    resume = Resume(tmp_path / "parts", fresh=True)
    with opened(resume, FACTS, 4) as kept:
        kept.get("b", lambda: VALUE)
    resume.remove()
    assert [each.name for each in (tmp_path / "parts").iterdir()] == ["notes.txt"]


def test_manifests_are_compared_entry_by_entry():
    assert difference({"a": {"b": 1}}, {"a": {"b": 1, "new": 2}}) is None
    assert difference({"a": {"b": 1}, "e": 1}, {"a": {"b": 2}, "e": 2}, {("a", "b"), "e"}) is None
    name, old, new = difference({}, {"a": {"b": "x" * 100}}) or ("", "", "")
    assert (name, old) == ("a", "null") and len(new) < 65 and new.endswith("…")
