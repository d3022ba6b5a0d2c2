"""The house: a module imports from lower floors alone, and nothing goes round."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import attattr

ROOT = Path(attattr.__file__).parent
# from the bottom up; rooms of one floor do not import each other
FLOORS = (
    ("errors",),
    ("asked", "choices"),
    ("disk",),
    ("models", "result"),
    ("data",),
    ("targets",),
    ("engine",),
    ("measure", "runs"),
    ("generation", "heads", "triggers"),
    ("report",),
    ("page",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# the imports upwards, inside the functions that do: results show themselves, an Attributor explains replies
SHOWN = {
    ("result.attribution", "page.document"),
    ("result.several", "page.several"),
    ("result.generation", "page.document"),
    ("engine.attributor", "generation.explained"),
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def imports(module: str, *, types: bool) -> Iterator[str]:
    """Modules of the package that a module imports, in functions too; for annotations alone where asked."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(each.name.startswith("attattr.") for each in node.names), "use from … import"
        if isinstance(node, ast.ImportFrom) and (types or node not in for_types):
            assert node.level == 0, f"{module} imports relatively"
            package, _, base = (node.module or "").partition(".")
            if package == "attattr":
                for each in node.names:
                    inner = f"{base}.{each.name}".strip(".")
                    yield inner if inner in MODULES else base


def inside() -> list[str]:
    """The modules that stand on a floor: all but the package's own face and the command's."""
    return sorted(name for name in MODULES if name not in ("__init__", "__main__"))


def test_every_module_stands_on_a_floor():
    assert {name.partition(".")[0] for name in inside()} == FLOOR.keys()


@pytest.mark.parametrize("room", FLOOR)
def test_nothing_imports_upwards(room):
    """Also not for annotations, nor inside of a function."""
    for module in (name for name in inside() if name.partition(".")[0] == room):
        for other in imports(module, types=True):
            there = other.partition(".")[0]
            if other and there != room and (module, other) not in SHOWN:
                assert FLOOR[there] < FLOOR[room], f"{module} imports {other}, which is not below it"


def test_nothing_goes_round():
    """Not even by an import inside of a function, which would only hide it."""
    below = {
        name: {other for other in imports(name, types=False) if (name, other) not in SHOWN} - {name, ""}
        for name in inside()
    }
    while below:
        free = {name for name, others in below.items() if not others & below.keys()}
        assert free, f"these import each other: {', '.join(sorted(below))}"
        below = {name: others for name, others in below.items() if name not in free}


@pytest.mark.parametrize("room", [room for room in FLOOR if (ROOT / room).is_dir()])
def test_every_room_says_what_lives_in_it(room):
    says = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8")))
    assert says and len(says) > 80


def test_no_module_has_grown_past_its_subject():
    long = {
        name: lines
        for name, path in MODULES.items()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert not long, "two subjects, perhaps?"


@pytest.mark.parametrize("module", inside())
def test_a_version_of_what_is_written_has_a_name(module):
    """Never a number in between the keys: who changes a key finds the version at the top of the module."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in ("schema_version", "version", "format"):
                    assert not isinstance(value, ast.Constant)


def test_the_tests_mirror_the_folders():
    tests = Path(__file__).parent
    folders = {path.name for path in tests.iterdir() if path.is_dir() and any(path.glob("test_*.py"))}
    assert folders <= FLOOR.keys()
    rooms = {each.name for each in pkgutil.iter_modules([str(ROOT)]) if each.ispkg}
    assert rooms - folders == set(), "a room without tests"
