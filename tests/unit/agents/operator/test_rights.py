"""Scripts of rights: for the shell as it is, and only for what the settings name."""

import subprocess

import pytest

from leverframe.agents.cli.topics import acls
from leverframe.agents.operator.rights import ROLES, acl_script, rights_of
from leverframe.agents.settings import load_settings

SETTINGS = load_settings(None, {"LEVERFRAME_TOPICS__PREFIX": "shop-"})


def test_the_command_knows_every_role() -> None:
    """It names them itself: to load the settings first would make each command slow."""
    (role,) = (one for one in acls.params if one.name == "role")
    assert tuple(role.type.choices) == ROLES  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ROLES)
def test_every_right_is_of_this_application(role: str) -> None:
    """Literal names with its prefix; transactional ids alone by how they begin."""
    found = rights_of(role, SETTINGS)  # type: ignore[arg-type]
    assert found
    assert all(right.name.startswith("shop-") for right in found)
    assert {right.kind for right in found if right.is_prefix} <= {"transactional-id"}


def test_nobody_but_the_job_writes_control_and_audit() -> None:
    """An administrator starts it anew, so writes as it does."""
    for role in set(ROLES) - {"worker", "administrator"}:
        written = {one.name for one in rights_of(role, SETTINGS) if one.operation == "Write"}
        assert not written & {"shop-control", "shop-audit", "shop-rewards"}, role


def test_a_worker_without_sources_writes_to_no_input() -> None:
    """Only whoever maps topics of others does."""
    plain = {(one.operation, one.name) for one in rights_of("worker", SETTINGS)}
    assert ("Write", "shop-predictions") not in plain


def test_the_shell_sees_names_as_they_are() -> None:
    """A principal with spaces and quotes is one word, and does nothing else."""
    script = "\n".join(acl_script("labels", SETTINGS, "User:CN=it's me,O=x; echo no"))
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=script,
        env={"KAFKA_ACLS": "echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert "--allow-principal User:CN=it's me,O=x; echo no --allow-host *" in line
    assert line.endswith(
        "--operation Write --resource-pattern-type literal --topic shop-ground-truth"
    )
