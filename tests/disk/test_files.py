"""Writing files: whole, through links, into devices; and what every verb refuses to write over."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from attattr import cli
from attattr.cli import options
from attattr.disk import files
from attattr.errors import InputError

OLD, NEW = "old", "new"


@pytest.fixture
def old(tmp_path) -> Path:
    (tmp_path / "x.json").write_text(OLD)
    return tmp_path / "x.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- a regular file ------------------------------------------------------------------------------------


def test_text_is_utf8_and_bytes_are_themselves(tmp_path):
    files.write(tmp_path / "x", "→\n")
    files.write(str(tmp_path / "y"), b"\x00\xff")
    assert (tmp_path / "x").read_bytes() == "→\n".encode()
    assert (tmp_path / "y").read_bytes() == b"\x00\xff"
    assert sorted(os.listdir(tmp_path)) == ["x", "y"]


def test_a_name_may_be_as_long_as_a_name_can_be(tmp_path):
    files.write(tmp_path / ("x" * 255), NEW)
    assert (tmp_path / ("x" * 255)).read_text() == NEW


@pytest.mark.parametrize("kept", [0o600, 0o664, 0o640])
def test_a_file_keeps_its_mode_and_a_new_one_has_what_the_umask_leaves(old, kept):
    old.chmod(kept)
    before = os.umask(0o027)
    try:
        files.write(old, NEW)
        files.write(old.with_name("fresh"), NEW)
    finally:
        os.umask(before)
    assert (old.read_text(), mode(old), mode(old.with_name("fresh"))) == (NEW, kept, 0o640)


def test_a_secret_is_never_open_to_others_on_its_way(old, monkeypatch):
    old.chmod(0o600)
    seen = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (seen.append(os.fstat(number).st_mode), sync(number)))
    files.write(old, NEW)
    assert [stat.S_IMODE(each) for each in seen] == [0o600]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner(old):
    os.chown(old, 1234, 1234)
    files.write(old, NEW)
    assert (old.stat().st_uid, old.stat().st_gid) == (1234, 1234)


def test_a_file_that_is_read_only_stays(old, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match=r"x\.json"):
        files.write(old, NEW)
    with pytest.raises(InputError, match=r"cannot write '.*x\.json': Permission denied"):
        files.check(old)
    assert old.read_text() == OLD


# -- links ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, there):
    (tmp_path / "real").mkdir()
    target, link, far = tmp_path / "real" / "x", tmp_path / "link", tmp_path / "far"
    if there:
        target.write_text(OLD)
    link.symlink_to(Path("real") / "x")
    far.symlink_to("link")
    files.check(far)
    files.write(far, NEW)
    assert (os.readlink(link), os.readlink(far), target.read_text()) == ("real/x", "link", NEW)
    assert os.listdir(target.parent) == ["x"]


def test_a_circle_of_links_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        files.write(tmp_path / "a", NEW)
    with pytest.raises(InputError, match="symbolic links"):
        files.check(tmp_path / "a")
    assert not files.same(tmp_path / "a", tmp_path / "b")


def test_links_planted_under_names_that_could_be_guessed_are_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text(OLD)
    for name in ("x.part", ".x.part", f"x.{os.getpid()}.part", f".x.{os.getpid()}.part"):
        (tmp_path / name).symlink_to(victim)
    files.write(tmp_path / "x", NEW)
    assert (victim.read_text(), (tmp_path / "x").read_text()) == (OLD, NEW)


def test_a_link_under_the_very_name_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text(OLD)
    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    (tmp_path / files.PARTS.replace("*", "known")).symlink_to(victim)
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "x", NEW)
    assert victim.read_text() == OLD
    assert not (tmp_path / "x").exists()


# -- what is no regular file ---------------------------------------------------------------------------


def test_a_device_stays_one(tmp_path):
    device = Path("/dev/null")
    if os.getuid() == 0:  # not this machine's: if the test fails, it is replaced
        device = tmp_path / "null"
        try:
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            device.write_text("")
        except OSError:
            pytest.skip("no devices can be made here")
    files.check(device)
    files.write(device, NEW)
    assert stat.S_ISCHR(device.stat().st_mode)


def test_a_pipe_stays_one_and_its_reader_gets_the_content(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    files.check(pipe)  # does not wait for a reader
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    files.write(pipe, NEW)
    reader.join(10)
    assert got == [NEW]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_an_open_descriptor_is_written_where_it_stands(tmp_path, folder):
    with (tmp_path / "log").open("w+") as log:
        log.write("before\n")
        log.flush()
        path = f"{folder}/{log.fileno()}"
        link = tmp_path / "link"
        link.symlink_to(path)
        for each in (path, link):
            files.check(each)
            files.write(each, NEW)
        log.write("after")
    assert (tmp_path / "log").read_text() == f"before\n{NEW}{NEW}after"


def test_standard_output_by_name_after_what_was_said(tmp_path):
    program = (
        f"from attattr.disk import files\nprint('said')\nfiles.write('/dev/stdout', '{NEW}\\n')\nprint('on')"
    )
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", program], stdout=log, check=True)
    assert (tmp_path / "log").read_text() == f"said\n{NEW}\non\n"


# -- going wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(old, monkeypatch, step, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(type(error)) as raised:
            files.write(old, NEW)
    assert os.listdir(old.parent) == ["x.json"]
    assert old.read_text() == OLD
    if isinstance(error, OSError):
        assert (raised.value.filename, raised.value.errno) == (str(old), 28)


def test_many_writers_and_a_reader(tmp_path):
    path = tmp_path / "x"
    contents = {bytes([65 + i]) * (200_000 + i) for i in range(8)}
    files.write(path, min(contents))
    writers = [threading.Thread(target=files.write, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["x"]


def test_what_cannot_be_written_is_said_beforehand(tmp_path):
    (tmp_path / "file").write_text(OLD)
    (tmp_path / "circle").symlink_to("circle")
    for name, words in (
        ("", "it is a folder"),
        ("no/x", "No such file"),
        ("file/x", "Not a directory"),
        ("x" * 256, "takes no new file|too long"),
    ):
        with pytest.raises(InputError, match=words):
            files.check(tmp_path / name)
        with pytest.raises(OSError, match=str(tmp_path)):
            files.write(tmp_path / name, NEW)
    for name in ("file/run", "file"):
        with pytest.raises(InputError, match="is not a folder"):
            files.check_folder(tmp_path / name)
    files.check_folder(tmp_path / "new" / "run")
    assert sorted(os.listdir(tmp_path)) == ["circle", "file"]


@pytest.mark.parametrize("path", ["", "s3://bucket/x", "https://a.b/x", "memory://x", Path("gs://bucket/x")])
def test_an_output_is_a_path_of_this_machine(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ask in (files.check, files.check_folder, lambda path: files.write(path, NEW)):
        with pytest.raises(InputError, match=r"is empty|is an address"):
            ask(path)
    assert not os.listdir(tmp_path)
    assert files.local("./s3:/bucket") == Path("s3:/bucket")
    assert files.local("C:/x") == Path("C:/x")


def test_one_file_by_two_names(old):
    folder = old.parent
    (folder / "link").symlink_to(old)
    os.link(old, folder / "twin")
    (folder / "here").symlink_to(".")
    for other in ("link", "twin", "here/x.json", "./x.json"):
        assert files.same(old, folder / other)
    assert not files.same(old, folder / "y.json")
    assert files.same(folder / "new", folder / "here" / "NEW")
    assert not files.same(folder / "new", folder / "newer")


# -- every verb ----------------------------------------------------------------------------------------

# verb, its arguments less the outputs, its outputs. One argument a space; the files are those of `there`.
VERBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "explain": ("text --model m", ("--json", "--save", "--html")),
    "generate": ("text --model m", ("--json", "--save", "--html")),
    "run": ("t.tsv --model m", ("--out",)),
    "evaluate": ("t.tsv --model m", ("--json",)),
    "models": ("", ("--json",)),
    "tree": ("r.svg", ("--json", "--figure")),
    "faithfulness": ("t.tsv --model m", ("--json",)),
    "figure": ("r.svg", ("--out",)),
    "heads rank": ("t.svg --model m", ("--out", "--figure")),
    "heads effectiveness": ("t.svg --model m", ("--json", "--figure")),
    "heads compare": ("a.svg b.svg", ("--json", "--figure")),
    "prune model": ("--model m --heads h.parquet --data t.tsv", ("--json", "--out")),
    "prune curve": ("t.svg --model m", ("--json", "--figure")),
    "triggers mine": ("t.tsv --model m", ("--out",)),
    "triggers attack": ("t.tsv --model m --patterns p.jsonl", ("--json",)),
    "triggers report": ("attack.html", ("--out",)),
}
PICTURES = {(verb, "--figure") for verb in VERBS} | {("figure", "--out")}
STREAMS = {(verb, "--json") for verb in VERBS} | {("triggers mine", "--out")}
FOLDERS = {("run", "--out"), ("prune model", "--out")}
EVERY = [(verb, option) for verb, (_, options) in VERBS.items() for option in options]
# what an output must not be: the inputs of its verb
READ = [
    (verb, option, given)
    for verb, option in EVERY
    if (verb, option) not in FOLDERS
    for given in (*VERBS[verb][0].split(), "m/config.svg")
    if (Path(given).suffix == ".svg" or (verb, option) not in PICTURES)
    and Path(given).suffix
    and (given != "m/config.svg" or "--model m" in VERBS[verb][0])
]


@pytest.fixture
def there(tmp_path, monkeypatch) -> Path:
    """A folder with an input of every kind; what they hold is never read."""
    monkeypatch.chdir(tmp_path)
    for name in "t.tsv t.svg r.svg a.svg b.svg h.parquet p.jsonl attack.html".split():
        Path(name).write_text(name)
    for name in ("m/config.svg", "runs/manifest.json"):
        Path(name).parent.mkdir()
        Path(name).write_text(name)
    return tmp_path


def refused(verb: str, outputs: dict[str, str], *words: str) -> None:
    """In one sentence, and nothing has changed."""
    before = {path: path.read_text() for path in sorted(Path().rglob("*")) if path.is_file()}
    needed = {"--out": "new"} if "--out" in VERBS[verb][1] else {}
    arguments = [*verb.split(), *VERBS[verb][0].split(), *itertools.chain(*(needed | outputs).items())]
    outcome = CliRunner().invoke(cli.app, arguments)
    assert outcome.exit_code == 2, outcome.output
    assert outcome.stderr.count("\n") == 1
    for word in words:
        assert word in outcome.stderr
    assert before == {path: path.read_text() for path in sorted(Path().rglob("*")) if path.is_file()}


def test_the_table_has_every_output_of_every_verb():
    found = set()
    group = typer.main.get_command(cli.app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        below = command.commands.items() if hasattr(command, "commands") else [("", command)]
        for second, verb in below:
            options = {opt for p in verb.params if isinstance(p, click.Option) or p.opts for opt in p.opts}
            for option in options & {"--json", "--out", "--save", "--html", "--figure"}:
                found.add((f"{name} {second}".strip(), option))
    assert found == set(EVERY)


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "through a link"])
@pytest.mark.parametrize(("verb", "option", "given"), READ)
def test_an_output_that_is_an_input_is_refused(there, verb, option, given, linked):
    path = given
    if linked:
        path = f"link{Path(given).suffix}"
        Path(path).symlink_to(given)
    refused(verb, {option: path}, option, "would replace", "which is read")


@pytest.mark.parametrize(
    ("verb", "option", "arguments", "path"),
    [
        ("triggers mine", "--out", "runs --model m", "runs/manifest.json"),
        ("run", "--out", "runs --model m", "runs"),
        ("run", "--out", "t.tsv --model m", "m"),
        ("evaluate", "--json", "file://{}/t.tsv --model m", "t.tsv"),
        ("tree", "--json", "x.attattr", "x.attattr"),
    ],
)
def test_folders_and_addresses_are_inputs_too(there, monkeypatch, verb, option, arguments, path):
    Path("x.attattr").write_text("x")
    monkeypatch.setitem(VERBS, verb, (arguments.format(there), (option,)))
    refused(verb, {option: path}, "would replace", "which is read")


@pytest.mark.parametrize("names", ["xx", "xX", "x@"], ids=["one name", "but for case", "through a link"])
@pytest.mark.parametrize(
    ("verb", "one", "other"),
    [(v, *pair) for v, (_, options) in VERBS.items() for pair in itertools.combinations(options, 2)],
)
def test_two_outputs_that_are_one_file_are_refused(there, verb, one, other, names):
    Path("@.svg").symlink_to("x.svg")
    first, second = (f"{name}.svg" for name in names)
    refused(verb, {one: first, other: second}, f"{one} and {other} must not name the same file")


@pytest.mark.parametrize(("verb", "option"), EVERY)
def test_what_no_output_can_be(there, verb, option):
    refused(verb, {option: ""}, f"{option} is empty")
    refused(verb, {option: "s3://bucket/x.svg"}, "'s3://bucket/x.svg' is an address")
    if (verb, option) not in STREAMS:
        refused(verb, {option: "-"}, f"{option} cannot go to standard output")
    if (verb, option) in PICTURES:
        for path in ("x.jpg", "x", ".svg"):
            refused(verb, {option: path}, f"{option} takes a file that ends in .svg, .pdf or .png")
    if (verb, option) not in FOLDERS:
        refused(verb, {option: "m.svg/x.svg"}, "takes no new file")


def test_an_existing_folder_is_no_place_for_a_pruned_model(there):
    refused("prune model", {"--out": "runs"}, "choose a new folder")


def test_two_outputs_may_go_nowhere(there):
    options.check_files({"--json": os.devnull, "--save": os.devnull}, ["m", "t.tsv"])
    with pytest.raises(InputError, match="same file"):
        options.check_files({"--json": "new", "--save": "new"})


def test_the_same_command_again_writes_the_same_file_again(there):
    Path("facts.json").symlink_to("m.json")
    for _ in range(2):
        assert CliRunner().invoke(cli.app, ["models", "--json", "facts.json"]).exit_code == 0
    assert Path("facts.json").is_symlink()
    assert Path("m.json").read_text().startswith("{")


# -- a saved result as an argument ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("tree nope.attattr", 2, "there is no file 'nope.attattr'"),
        ("figure nope.attattr --out x.svg", 2, "there is no file 'nope.attattr'"),
        ("tree nope.attattr text", 2, "give it alone"),
        ("figure text nope.attattr --out x.svg", 2, "give it alone"),
        ("tree nope.attattr --model m", 2, "takes no --model"),
        ("explain nope.attattr", 2, "show 'nope.attattr' with attattr tree or attattr figure"),
        ("explain text nope.attattr", 2, "attattr tree"),
    ],
)
def test_a_name_of_a_result_is_never_explained_as_a_text(there, arguments, code, words):
    outcome = CliRunner().invoke(cli.app, arguments.split())
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (code, 1), outcome.output
    assert words in outcome.stderr
