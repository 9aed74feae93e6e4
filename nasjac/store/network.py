"""Whether a path lies on a network file system."""

from __future__ import annotations

import re
from pathlib import Path

NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "sshfs", "glusterfs", "ceph", "lustre", "gpfs", "afs", "beegfs")


def network_file_system(path: Path, mounts: str | Path = "/proc/mounts") -> str | None:
    """Return the type of the network file system that `path` lies on, None if it is a local one.

    `mounts` is the text of the table of mounts or the Path or name of its file; a system without that file has no such
    table to ask, and None is returned.
    """
    if isinstance(mounts, Path) or "\n" not in mounts:
        if not Path(mounts).exists():
            return None
        mounts = Path(mounts).read_text(encoding="utf-8", errors="surrogateescape")
    point, kind = Path(), ""
    for line in mounts.splitlines():
        _, escaped, mounted, *_ = line.split(" ")
        candidate = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped))
        if path.is_relative_to(candidate) and len(candidate.parts) >= len(point.parts):  # a later mount covers
            point, kind = candidate, mounted
    family = kind.removeprefix("fuse.")
    return kind if family.startswith(NETWORK_FILE_SYSTEMS) else None
