# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server for a test: in a folder of its own, reached by a socket, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_DEBIAN = Path("/usr/lib/postgresql")


def why_not() -> str:
    """What is missing for a server here; empty if nothing is."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed: `pip install 'fpg_pose_ros[postgresql]'`"
    if _programs() is None:
        return "no PostgreSQL server is installed (Debian: `apt-get install postgresql`)"
    if os.geteuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


@contextmanager
def server() -> Iterator[str]:
    """Starts one; yields the URL of its database."""
    programs = _programs()
    assert programs is not None
    user = _other_user() if os.geteuid() == 0 else None
    # Short, as the path of a socket has to be, and where another user may go.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        data, options = folder / "data", f"-c listen_addresses='' -F -k {folder}"

        def call(program: str, *arguments: str) -> None:
            command = [str(programs / program), "--pgdata", str(data), *arguments]
            with (folder / "log").open("a") as log:
                subprocess.run(
                    command, check=True, cwd=folder, user=user, stdout=log, stderr=log, timeout=120
                )

        call("initdb", "--username=test", "--auth=trust", "--no-sync", "--encoding=UTF8")
        call("pg_ctl", "start", "--wait", "--options", options)
        try:
            yield f"postgresql+psycopg://test@/postgres?host={folder}"
        finally:
            call("pg_ctl", "stop", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


def _programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`."""
    places = [Path(place) for place in os.get_exec_path()]
    places += sorted(_DEBIAN.glob("*/bin"), reverse=True)
    complete = [
        place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()
    ]
    return complete[0] if complete else None


def _other_user() -> str | None:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None
