# SPDX-License-Identifier: Apache-2.0
"""The files of a model bundle on disk: a directory or a zip, read within limits, written whole."""

from __future__ import annotations

import io
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from fpg_pose_ros.bundle_schema import MANIFEST
from fpg_pose_ros.errors import BundleError

MAX_BYTES: Final = 128 * 2**20
MAX_MANIFEST_BYTES: Final = 4 * 2**20
MAX_FILES: Final = 256
# A zip of files that cannot be compressed is a little larger than they are.
MAX_ZIP_BYTES: Final = MAX_BYTES + 2**20
_ENTRY_SIGNATURE: Final = b"PK\x01\x02"
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
T = TypeVar("T")


def read_contents(place: Path) -> dict[str, bytes]:
    """Reads all files of a bundle, by name; bundle.json is among them.

    Raises:
        BundleError: missing, damaged, larger than the limits, or not just plain files.
    """
    if place.is_dir():
        return _read_directory(place)
    if place.is_file():
        return _read_zip(place)
    raise BundleError(f"{place}: there is no such bundle; give its directory or .zip file")


def write_contents(place: Path, contents: Mapping[str, bytes], read_back: Callable[[Path], T]) -> T:
    """Writes a bundle whole or not at all; a path that ends in .zip makes a zip.

    Args:
        place: where to; what is there is replaced.
        contents: of the files, by name.
        read_back: reads and checks what has been written, before it takes its place.

    Returns:
        What `read_back` returned.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        if place.suffix == ".zip":
            _write_zip(new, contents)
        else:
            _write_directory(new, contents)
        result = read_back(new)
        if place.is_dir():  # a directory cannot be renamed onto another
            os.rename(place, old)
        os.replace(new, place)
        shutil.rmtree(old, ignore_errors=True)
    return result


def _read_directory(place: Path) -> dict[str, bytes]:
    sizes = {}
    with os.scandir(place) as entries:
        for entry in entries:
            if not entry.name.isprintable():  # it may not even be text
                raise BundleError(f"{place}: {entry.name!r} is not a plain file name; remove it")
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{place}: {entry.name} is not a plain file; remove it")
            sizes[entry.name] = status.st_size
            if len(sizes) > MAX_FILES:  # of a folder of millions no more is looked at
                break
    _check_sizes(place, sizes)
    contents = {}
    for name, size in sizes.items():
        with _open_plain(place / name) as file:
            contents[name] = file.read(size + 1)
    return contents


def _open_plain(path: Path) -> BinaryIO:
    """Opens a plain file, even if something else was put in its place since it was looked at."""
    # These flags exist where links and pipes do. Without the second a pipe would be waited for.
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | more)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); fetch it again") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is not a plain file; remove it")
    return open(descriptor, "rb")


def _read_zip(place: Path) -> dict[str, bytes]:
    try:
        # Into memory first: the file may change, and what was checked is what is unpacked.
        with open(place, "rb") as file:
            data = file.read(MAX_ZIP_BYTES + 1)
        if len(data) > MAX_ZIP_BYTES:
            raise BundleError(
                f"{place} is larger than {MAX_ZIP_BYTES / 2**20:.0f} MiB, which is refused"
            )
        # Before a list of millions of entries is made: each begins with this signature.
        if data.count(_ENTRY_SIGNATURE) > 2 * MAX_FILES:
            raise BundleError(f"{place} holds more than {MAX_FILES} files; this is no bundle")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            sizes = {entry.filename: entry.file_size for entry in entries}
            if len(sizes) != len(entries):
                raise BundleError(f"{place}: a file name occurs twice; fetch the bundle again")
            if any(entry.compress_type not in _COMPRESSIONS for entry in entries):
                raise BundleError(f"{place}: its compression is not known; zip it with deflate")
            if any(_is_special(entry) for entry in entries):
                raise BundleError(f"{place} holds a link or another special file; zip plain files")
            _check_sizes(place, sizes)
            # `read` stops at the size an entry claims, and then compares the checksum.
            return {entry.filename: archive.read(entry) for entry in entries}
    except NotImplementedError as error:
        raise BundleError(f"{place}: {error}; zip it with deflate") from None
    except RuntimeError as error:
        raise BundleError(f"{place}: {error}; zip it without a password") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error) as error:
        raise BundleError(f"{place} is damaged ({error}); fetch the bundle again") from None


def _is_special(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry says that it is something else than a plain file; many say nothing."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind not in (0, stat.S_IFREG)


def _check_sizes(place: Path, sizes: Mapping[str, int]) -> None:
    if len(sizes) > MAX_FILES:
        raise BundleError(f"{place} holds more than {MAX_FILES} files; this is no bundle")
    if sum(sizes.values()) > MAX_BYTES:
        raise BundleError(f"{place} is larger than {MAX_BYTES / 2**20:.0f} MiB, which is refused")
    for name in sizes:
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            raise BundleError(f"{place}: {name!r} is not a plain file name; this is no bundle")
    if len({name.casefold() for name in sizes}) != len(sizes):
        raise BundleError(
            f"{place}: two file names differ only in upper and lower case; this is no bundle"
        )
    if MANIFEST not in sizes:
        raise BundleError(f"{place}: {MANIFEST} is missing; this is no bundle")
    if sizes[MANIFEST] > MAX_MANIFEST_BYTES:
        raise BundleError(f"{place}: {MANIFEST} is larger than {MAX_MANIFEST_BYTES // 2**20} MiB")


def _write_directory(place: Path, contents: Mapping[str, bytes]) -> None:
    place.mkdir()
    for name, content in contents.items():
        with open(place / name, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _write_zip(place: Path, contents: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(place, "w") as archive:
        for name, content in contents.items():
            # A fixed date: the same bundle makes the same zip.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
