"""The few things that transfers ask of a file system, none of which follows a link or replaces a file.

Everything here blocks and runs in disk threads. Names are relative to a folder's descriptor and opened with O_NOFOLLOW,
so a link put in the way by anybody else leads nowhere.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import suppress
from typing import Final

from p2pim.core.filenames import numbered
from p2pim.errors import FileUnreadable, NoSpace, P2pimError, TransferError

READ_SIZE: Final = 1024 * 1024
"""Bytes read at once when a prefix is hashed again."""
WRITE_SIZE: Final = 128 * 1024
"""Bytes written at once. The page cache's folios become as large as a write; for larger ones the kernel takes memory
that a virtual machine has given back to its host, page by page, at up to eight times the cost."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RENAME_NOREPLACE: Final = 1
_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def explained(error: OSError) -> P2pimError:
    """A disk's error as people should read it; a full disk is `NoSpace`, which can be mended."""
    if error.errno in _FULL:
        return NoSpace()
    return TransferError(f"The disk reported an error: {error.strerror or error}")


def open_folder(path: str, *, parent: int | None = None) -> int:
    """A folder's descriptor. Inside another folder (``parent``) it must be a folder itself, not a link to one."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    return os.open(path, flags if parent is None else flags | os.O_NOFOLLOW, dir_fd=parent)


def make_folder(name: str, parent: int, mode: int = 0o777) -> int:
    """The descriptor of the folder ``name`` in ``parent``, made when it is not there."""
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=parent)
    return open_folder(name, parent=parent)


def make_file(name: str, parent: int, *, executable: bool = False) -> int:
    """A new file, open for reading and writing.

    :raises FileExistsError: there is something of that name.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o777 if executable else 0o666, dir_fd=parent)


def open_own(name: str, parent: int) -> int:
    """A file that was made here before, open for reading and writing.

    :raises TransferError: what is there now is not that: a link, a device, somebody else's, or known by two names.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(name, flags, dir_fd=parent)
    known = os.fstat(handle)
    if not stat.S_ISREG(known.st_mode) or known.st_uid != os.geteuid() or known.st_nlink != 1:
        os.close(handle)
        raise TransferError("Something else has taken the place of the partial file; cancel and receive it again.")
    return handle


def made_or_own(name: str, parent: int, *, executable: bool = False) -> int:
    """The file ``name``, new or from before."""
    try:
        return make_file(name, parent, executable=executable)
    except FileExistsError:
        return open_own(name, parent)


def write_at(handle: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` from ``offset`` on."""
    left = memoryview(data)
    while left:
        written = os.pwrite(handle, left[:WRITE_SIZE], offset)
        left, offset = left[written:], offset + written


def set_modified(handle: int, modified_ns: int) -> None:
    """Give a file or folder its time; one that the file system cannot hold is left out."""
    with suppress(OverflowError, OSError):
        os.utime(handle, ns=(modified_ns, modified_ns))


def rename_new(old: str, old_parent: int, new: str, new_parent: int) -> None:
    """Rename in one step, and only when nothing has the new name.

    :raises FileExistsError: something has it.
    """
    if _renameat2 is not None:
        if _renameat2(old_parent, os.fsencode(old), new_parent, os.fsencode(new), _RENAME_NOREPLACE) == 0:
            return
        error = ctypes.get_errno()
        if error not in _UNSUPPORTED:
            raise OSError(error, os.strerror(error), new)
    _rename_over_placeholder(old, old_parent, new, new_parent)


def _rename_over_placeholder(old: str, old_parent: int, new: str, new_parent: int) -> None:
    """Without the kernel's help: take the name with something empty of our own, and rename over that."""
    if stat.S_ISDIR(os.stat(old, dir_fd=old_parent, follow_symlinks=False).st_mode):
        os.mkdir(new, dir_fd=new_parent)
    else:
        os.close(make_file(new, new_parent))
    os.rename(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)


def exists(name: str, parent: int) -> bool:
    """Whether anything, a dangling link included, has this name."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def free_name(base: str, parent: int, *, folder: bool) -> str:
    """The first of ``base``, ``base (1)``… that nothing has."""
    number = 0
    while exists(numbered(base, number, folder=folder), parent):
        number += 1
    return numbered(base, number, folder=folder)


def free_bytes(directory: int | str) -> int:
    """Bytes that may still be written to the disk of ``directory``."""
    known = os.statvfs(directory)
    return known.f_bavail * known.f_frsize


def prepared_space(directory: str) -> int:
    """Make ``directory`` when it is not there; the bytes that are free there."""
    os.makedirs(directory, exist_ok=True)
    return free_bytes(directory)


def unreadable(path: str, error: OSError) -> FileUnreadable:
    """Why a file cannot be sent."""
    return FileUnreadable(f"{path} cannot be read: {error.strerror or error}")
