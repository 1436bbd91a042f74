# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH208, PTH101 - it passes texts on
"""A FUSE file system over a folder that refuses what mounts of object stores and shares refuse.

    python fuse_mount.py FOLDER MOUNT chmod,fsync,lock,rename

Needs mfusepy and libfuse. It ends when it is unmounted.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, NoReturn

import mfusepy

REFUSALS = {
    "chmod": errno.EOPNOTSUPP,
    "fsync": errno.ENOSYS,
    "link": errno.EPERM,
    "lock": errno.EOPNOTSUPP,
    "rename": errno.ENOSYS,
}


class PickyFolder(mfusepy.Operations):
    """Passes every call on to a folder, but for those that are refused."""

    def __init__(self, folder: str, refused: list[str]) -> None:
        self._folder = folder
        for name in refused:
            setattr(self, name, self._refuse(REFUSALS[name]))

    @staticmethod
    def _refuse(number: int) -> Any:
        def refuse(*_: Any) -> NoReturn:
            raise mfusepy.FuseOSError(number)

        return refuse

    def _real(self, path: str) -> str:
        return self._folder + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        status = os.lstat(self._real(path))
        names = ("st_atime", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size")
        return {name: getattr(status, name) for name in (*names, "st_uid")}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._real(path))]

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._real(path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._real(path))
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._real(path), length)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._real(path))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._real(old), self._real(new))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._real(path), mode)
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        os.utime(self._real(path))
        return 0


if __name__ == "__main__":
    folder, mount, refused = sys.argv[1:]
    mfusepy.FUSE(PickyFolder(folder, refused.split(",")), mount, foreground=True, nothreads=True)
