"""Paper mode does not start where its journal would be lost with its container (DEP-1)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from actors.errors import ConfigurationError
from supervision.commands.cli import ExitCode
from supervision.store.volume import (
    Mount,
    Surroundings,
    is_required,
    look_around,
    mount_of,
    require_durable,
)
from tests.walk.commands import command, write_config

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - memory is the point
posix_paths = pytest.mark.skipif(os.name == "nt", reason="the table has POSIX paths")
STATE: Final = Path("/var/lib/ibkr-actors")
DOCKER: Final = """\
612 530 0:78 / / rw,relatime master:194 - overlay overlay rw,lowerdir=/l/A:/l/B
613 612 0:82 / /proc rw,nosuid - proc proc rw
614 612 0:83 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
"""
NAMED_VOLUME: Final = (
    "620 612 8:1 /var/lib/docker/volumes/state/_data /var/lib/ibkr-actors rw,relatime - ext4 /dev/sda1 rw\n"
)
GVISOR: Final = "1 1 0:12 / / rw - 9p none rw,trans=fd\n"


def mounted(kind: str, point: str = "/var/lib/ibkr-actors") -> str:
    """Write one line of the table."""
    return f"700 612 0:90 / {point} rw,relatime shared:7 - {kind} source rw\n"


def in_container(mounts: str) -> Surroundings:
    """A container with these mounts."""
    return Surroundings(in_container=True, mounts=mounts)


@posix_paths
@pytest.mark.req("DEP-1")
@pytest.mark.parametrize(
    ("mounts", "named"),
    [
        (DOCKER, "overlay at '/', the container's own file system"),
        (GVISOR, "9p at '/', the container's own file system"),
        (mounted("btrfs", "/"), "btrfs at '/', the container's own file system"),
        (DOCKER + mounted("tmpfs"), "tmpfs at '/var/lib/ibkr-actors', which is memory"),
        (DOCKER + mounted("overlay"), "the container's own file system"),
        (DOCKER + mounted("fuse.gcsfuse"), "an object store, which cannot hold a database"),
        (DOCKER + NAMED_VOLUME + mounted("tmpfs"), "which is memory"),
    ],
    ids=["docker", "gvisor", "btrfs", "tmpfs", "overlay", "bucket", "hidden by memory"],
)
def test_a_journal_that_ends_with_its_container_is_refused(mounts: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        require_durable(STATE, in_container(mounts), enabled=True)

    text = str(caught.value)
    assert text.startswith("journal.durable_volume: general.state_dir '/var/lib/ibkr-actors'")
    assert named in text
    assert "mount a durable volume" in text


@posix_paths
@pytest.mark.req("DEP-1")
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "nfs4", "virtiofs"])
def test_a_volume_of_its_own_is_accepted(kind: str) -> None:
    require_durable(STATE, in_container(DOCKER + mounted(kind)), enabled=True)


@posix_paths
@pytest.mark.req("DEP-1")
def test_the_disk_of_a_machine_is_accepted_and_so_is_a_system_that_does_not_tell() -> None:
    require_durable(STATE, Surroundings(False, mounted("ext4", "/")), enabled=True)
    require_durable(STATE, Surroundings(True, None), enabled=True)


@pytest.mark.req("DEP-1")
def test_a_journal_that_is_switched_off_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigurationError, match=r"journal\.enabled: found false"):
        require_durable(STATE, in_container(DOCKER + NAMED_VOLUME), enabled=False)


@pytest.mark.req("DEP-1")
@pytest.mark.parametrize(
    ("rule", "environ", "external", "expected"),
    [
        ("auto", {}, True, False),
        ("auto", {"K_SERVICE": "ibkr-actors"}, True, True),
        ("auto", {"K_SERVICE": "ibkr-actors"}, False, False),
        ("auto", {"K_SERVICE": ""}, True, False),
        ("required", {}, False, True),
        ("any", {"K_SERVICE": "ibkr-actors"}, True, False),
    ],
)
def test_when_a_durable_volume_is_asked_for(
    rule: str, environ: dict[str, str], external: bool, expected: bool
) -> None:
    assert is_required(rule, environ, external=external) is expected


@posix_paths
def test_the_longest_mount_point_counts_and_blanks_in_it_are_read() -> None:
    table = mounted("ext4", "/") + mounted("xfs", "/my\\040disk") + "nonsense\n\n"

    assert mount_of(Path("/my disk/state"), table) == Mount("/my disk", "xfs")
    assert mount_of(Path("/my disks"), table) == Mount("/", "ext4")


@pytest.mark.parametrize("variable", ["K_SERVICE", "KUBERNETES_SERVICE_HOST"])
def test_a_container_is_known_by_its_environment(variable: str) -> None:
    assert look_around({variable: "x"}).in_container


@pytest.mark.req("DEP-1")
@pytest.mark.skipif(not MEMORY.is_dir(), reason="this system has no /dev/shm")
def test_the_process_refuses_paper_mode_in_memory_and_still_runs_dry(tmp_path: Path) -> None:
    state = MEMORY / f"ibkr-actors-{tmp_path.name}"
    config = write_config(
        tmp_path,
        general={"state_dir": str(state)},
        journal={"durable_volume": "required"},
        logging={"file": ""},
        control={"enabled": False},
    )

    paper = command("run", "--cycles", "1", "--mode", "paper", "--config", str(config))
    started = state.exists()
    dry = command("run", "--cycles", "1", "--config", str(config))

    shutil.rmtree(state)
    assert paper.code == ExitCode.USAGE, paper
    assert "IB_CONF_001: journal.durable_volume" in paper.err
    assert "which is memory" in paper.err
    assert "Traceback" not in paper.err
    assert not started, "nothing was written"
    assert dry.code == ExitCode.OK, dry
