"""Writing files: the one place where it is done, so that every output keeps the same promises.

A file appears under its name only when it is whole: it is written under a random name in the same folder,
reaches the disk, and is renamed. Links are followed, a file's mode is kept, and what is no regular file (a
device, a pipe, an open descriptor) is written into instead of being replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from attattr.errors import AttAttrError, InputError

PARTS = ".attattr-*.part"  # what a killed process may leave behind
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # no fault of the name
MOST_LINKS = 40  # as Linux has it


def write(path: str | Path, content: str | bytes) -> None:
    """A file, whole or not at all; text in UTF-8.

    >>> write(folder / "facts.json", "{}")
    >>> (folder / "facts.json").read_text()
    '{}'

    Raises:
        OSError: the folder is missing, not writable or full. The old file is still there then, and no other.
        InputError: the path is empty or an address (`local`).
    """
    data = content.encode() if isinstance(content, str) else content
    target = local(path)
    try:
        target = _target(target)
        old = _found(target)
        if old is None or _replaceable(target, old):
            _replace(target, data, old)
        else:
            _write_into(target, data)
    except OSError as error:  # named as the caller knows it, not as the temporary file
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _replace(target: Path, data: bytes, old: os.stat_result | None) -> None:
    if old is not None and not os.access(target, os.W_OK):  # a rename would not ask
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # of a fixed length, since the name itself may be as long as a name can be
    part = target.with_name(PARTS.replace("*", secrets.token_hex(8)))
    mode = 0o666 if old is None else 0o600  # less the umask; an old file's mode follows below
    try:
        # "x": a new file, never what somebody has put there, and never through a link
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            if old is not None and hasattr(os, "fchown"):  # Windows has none
                _give(file, old)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a rename must not survive a power cut that its content does not
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _give(file: BinaryIO, old: os.stat_result) -> None:
    """The mode of the file that is replaced, and its owner where that is allowed."""
    new = os.fstat(file.fileno())
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(file.fileno(), old.st_uid, old.st_gid)
    os.fchmod(file.fileno(), old.st_mode & 0o777)  # as any writing does, it takes a setuid bit away


def _write_into(target: Path, data: bytes) -> None:
    number = _descriptor(target)
    if number in (1, 2):  # after what was said before
        sys.stdout.flush()
        sys.stderr.flush()
    with open(target, "wb") if number is None else os.fdopen(os.dup(number), "wb") as file:
        file.write(data)


def failed(path: str | Path, error: OSError) -> AttAttrError:
    """What to say of a file that could not be written: a full disk is no fault of the name.

    >>> failed("x.json", OSError(errno.ENOSPC, "No space left on device"))
    AttAttrError("cannot write 'x.json': No space left on device")
    """
    kind = AttAttrError if error.errno in FULL else InputError
    return kind(f"cannot write '{path}': {error.strerror or error}")


def local(path: str | Path) -> Path:
    """The path, of a file or folder to be written.

    >>> local("s3://bucket/run")
    Traceback (most recent call last):
    attattr.errors.InputError: 's3://bucket/run' is an address: outputs are written here, name a path

    Raises:
        InputError: it is empty, or an address: there is no renaming and no locking behind those.
    """
    if not str(path):
        raise InputError("the name of an output is empty: give it one")
    if "\0" in str(path):
        raise InputError("the name of an output has a NUL character in it: give it another")
    if re.match(r"[A-Za-z][\w+.-]+:/", str(path)):  # Path("s3://x") is "s3:/x"; "C:/x" is no address
        raise InputError(f"'{path}' is an address: outputs are written here, name a path")
    return Path(path)


def check(path: str | Path) -> None:
    """Found out before anything is computed: can a file be written there?

    >>> check(folder / "no such folder" / "x.json")
    Traceback (most recent call last):
    attattr.errors.InputError: cannot write '...': its folder takes no new file (No such file or directory)

    Raises:
        InputError: it cannot; or as `local`.
    """
    target = local(path)
    try:
        target = _target(target)
        old = _found(target)
        if old is not None and stat.S_ISDIR(old.st_mode):
            raise InputError(f"cannot write '{path}': it is a folder")
        if old is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error
    if old is not None and not _replaceable(target, old):
        return
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write '{path}': its folder takes no new file ({error.strerror or error})"
        ) from error


def check_folder(path: str | Path) -> None:
    """Found out before anything is computed: can a folder be made there, or be written into?

    >>> check_folder(folder / "new" / "run")

    Raises:
        InputError: it cannot; or as `local`.
    """
    wanted = Path(os.path.realpath(local(path)))
    there = next(each for each in (wanted, *wanted.parents) if os.path.lexists(each))
    if not there.is_dir():
        raise InputError(f"cannot write into '{path}': '{there}' is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"cannot write into '{path}': {os.strerror(errno.EACCES)}")


def check_room(path: str | Path, wanted: int) -> None:
    """Found out before more is computed: has the disk room for so many bytes there?

    >>> check_room(folder / "model", 1 << 60)
    Traceback (most recent call last):
    attattr.errors.AttAttrError: '...' takes 1,152,921,504.6 GB, and its disk has ... GB left: ...

    Raises:
        AttAttrError: it has not.
    """
    wanted_at = Path(os.path.realpath(local(path)))
    there = next(each for each in (wanted_at, *wanted_at.parents) if os.path.lexists(each))
    free = shutil.disk_usage(there).free
    if wanted > free:
        raise AttAttrError(
            f"'{path}' takes {wanted / 1e9:,.1f} GB, and its disk has {free / 1e9:,.1f} GB "
            "left: make room, or name another place"
        )


def same(one: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file; of files that are not there yet, whether they would.

    >>> same(folder / "a.json", folder / ".." / folder.name / "A.json")
    True

    The last because some file systems do not tell these two apart.
    """
    try:
        a, b = _target(Path(one)), _target(Path(other))
    except OSError:  # a circle of links: neither is a file
        return False
    first, second = _found(a), _found(b)
    if first is not None and second is not None:
        return os.path.samestat(first, second)
    if first is not None or second is not None or a.name.casefold() != b.name.casefold():
        return False
    return os.path.realpath(a.parent) == os.path.realpath(b.parent)


def regular(path: str | Path) -> Path | None:
    """The regular file that writing there makes or replaces, through links; None: a device, a pipe …

    >>> regular(folder / "new.json").name, regular(os.devnull)
    ('new.json', None)
    """
    target = _target(Path(path))
    old = _found(target)
    return target if old is None or _replaceable(target, old) else None


def replaces(path: str | Path, given: str | Path) -> bool:
    """Whether writing `path` would change `given`: that file, or one that is in that folder.

    >>> write(folder / "facts.json", "{}")
    >>> replaces(folder / "facts.json", folder), replaces(folder / "new.json", folder)
    (True, False)
    """
    if not os.path.exists(path):
        return False
    if not os.path.isdir(given):
        return os.path.exists(given) and same(path, given)
    # of a link in the folder, the link too: a model of the hub is a folder of links
    folder = os.path.realpath(given)
    places = (Path(path), _target(Path(path)))
    return any(Path(os.path.realpath(at.parent), at.name).is_relative_to(folder) for at in places)


def _target(path: Path) -> Path:
    """Where a path leads through links, be it there or not. What stands for a descriptor is left as it is."""
    for _ in range(MOST_LINKS):
        if not path.is_symlink() or path.is_relative_to("/proc") or _descriptor(path) is not None:
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a path such as /dev/fd/3 stands for.

    That file may be a regular one ("> log"), and replacing it would not reach who holds it open.
    """
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", os.path.abspath(path))
    return int(found[1]) if found else None


def _replaceable(target: Path, old: os.stat_result) -> bool:
    return stat.S_ISREG(old.st_mode) and _descriptor(target) is None


def _found(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):  # not there, or no name that a file can have
        return None
