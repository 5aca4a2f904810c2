"""Whether the journal's directory outlives the container that it lies in (DEP-1).

A container's own file system, and any in memory, is gone with the container: with it would go the latch, the order ids
and the intents, and a new container would trade as if nothing had happened. So paper mode refuses to start there.

Facts: proc(5) for ``mountinfo``; Cloud Run and every Knative service set ``K_SERVICE``. Linux tells; elsewhere nothing
is known against a directory, and nothing is refused. What it cannot see: a volume that an orchestrator throws away
(such as ``emptyDir`` of Kubernetes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from actors.errors import ConfigurationError

MOUNT_TABLE: Final = Path("/proc/self/mountinfo")
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
LAYERED: Final = frozenset({"overlay", "overlayfs", "aufs", "rootfs", "fuse.fuse-overlayfs"})
OBJECT_STORES: Final = frozenset({"fuse.gcsfuse", "fuse.s3fs", "fuse.goofys", "fuse.mount-s3"})
"""They know neither locks nor writes in the middle of a file."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))
CONTAINER_VARIABLES: Final = ("K_SERVICE", "KUBERNETES_SERVICE_HOST")


@attrs.frozen
class Surroundings:
    """What the system says of itself. ``mounts`` is the text of `MOUNT_TABLE`, None where there is no such thing."""

    in_container: bool
    mounts: str | None


@attrs.frozen
class Mount:
    """Where a file system hangs in the tree, and of what kind it is."""

    point: str
    kind: str


def is_required(rule: str, environ: Mapping[str, str], *, external: bool) -> bool:
    """Read ``journal.durable_volume``: "auto" asks for one in a Cloud Run service that talks to a real gateway."""
    if rule == "auto":
        return external and bool(environ.get("K_SERVICE"))
    return rule == "required"


def look_around(environ: Mapping[str, str]) -> Surroundings:
    """Ask the system what it is."""
    try:
        mounts = MOUNT_TABLE.read_text("utf-8", errors="replace")
    except OSError:
        mounts = None
    marked = any(mark.exists() for mark in CONTAINER_MARKS)
    named = any(environ.get(name) for name in CONTAINER_VARIABLES)
    return Surroundings(marked or named, mounts)


def require_durable(state_dir: Path, surroundings: Surroundings, *, enabled: bool) -> None:
    """Raise `ConfigurationError` when the journal in ``state_dir`` would be lost with its container."""
    if not enabled:
        raise ConfigurationError(
            "journal.enabled: found false, but paper mode needs a journal on a durable volume here "
            "(journal.durable_volume); set journal.enabled = true"
        )
    if surroundings.mounts is None:
        return
    mount = mount_of(state_dir, surroundings.mounts)
    reason = None if mount is None else _why_lost(mount, surroundings)
    if reason is not None:
        raise ConfigurationError(
            f"journal.durable_volume: general.state_dir {str(state_dir)!r} lies on {reason}, and paper mode needs a "
            "journal that outlives it: mount a durable volume and set general.state_dir to a directory on it"
        )


def mount_of(path: Path, mounts: str) -> Mount | None:
    """Find the file system that a path lies on, or will; of several mounted on one point the last counts."""
    resolved = path.resolve()
    best: Mount | None = None
    for line in mounts.splitlines():
        mount = _parse(line)
        if mount is None or not resolved.is_relative_to(mount.point):
            continue
        if best is None or len(mount.point) >= len(best.point):
            best = mount
    return best


def _parse(line: str) -> Mount | None:
    left, separator, right = line.partition(" - ")
    fields, kinds = left.split(" "), right.split(" ")
    if not separator or len(fields) < 5 or not kinds[0]:
        return None
    point = _ESCAPED.sub(lambda found: chr(int(found.group(1), 8)), fields[4])
    return Mount(point, kinds[0])


def _why_lost(mount: Mount, surroundings: Surroundings) -> str | None:
    where = f"{mount.kind} at {mount.point!r}"
    if mount.kind in IN_MEMORY:
        return f"{where}, which is memory"
    if mount.kind in LAYERED or (mount.point == "/" and surroundings.in_container):
        return f"{where}, the container's own file system"
    if mount.kind in OBJECT_STORES:
        return f"{where}, an object store, which cannot hold a database"
    return None
