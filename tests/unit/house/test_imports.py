"""Who may import whom. The direction of imports is what keeps the rooms of this house apart."""

from __future__ import annotations

import ast

import pytest
from tests.unit.house import tree
from tests.unit.house.tree import Module, below, is_below

DRIVER_ROOMS = ("hosts", "arrays", "applications", "presentation", "products", "catalogue")

ONLY_USERS = {
    "tomlkit": ["splitmirror.policy.edit"],
    "paramiko": ["splitmirror_drivers.hosts.ssh"],
    "winrm": ["splitmirror_drivers.hosts.winrm"],
    "keyring": ["splitmirror.secrets"],
}
"""A library, and the only modules that use it; a name stands for its neighbours with the same beginning too (ssh, ssh_keys)."""


def offenders(found: list[Module], *forbidden: str) -> list[str]:
    """``module: import`` for each forbidden import, also of those that only checkers see."""
    return [
        f"{one.name}: {imported.name}"
        for one in found
        for imported in one.imports
        if is_below(imported.name, *forbidden)
    ]


def test_drivers_never_import_the_hooks() -> None:
    assert offenders(below("splitmirror_drivers"), "splitmirror") == []


def test_contracts_and_kit_import_only_each_other() -> None:
    rooms = below("splitmirror_drivers.contracts", "splitmirror_drivers.kit")
    assert len(rooms) > 8
    assert offenders(rooms, *(f"splitmirror_drivers.{room}" for room in DRIVER_ROOMS)) == []


def test_the_run_knows_no_phase_and_no_driver() -> None:
    forbidden = ("splitmirror.phases", "splitmirror.story", *(f"splitmirror_drivers.{room}" for room in DRIVER_ROOMS))
    assert offenders([tree.module("splitmirror.run")], *forbidden) == []


def test_phases_know_no_driver() -> None:
    assert offenders(below("splitmirror.phases"), *(f"splitmirror_drivers.{room}" for room in DRIVER_ROOMS)) == []


@pytest.mark.parametrize(("library", "users"), ONLY_USERS.items(), ids=list(ONLY_USERS))
def test_a_library_has_one_user(library: str, users: list[str]) -> None:
    strangers = [
        one.name
        for one in tree.modules()
        if any(is_below(name, library) for name in one.at_run_time())
        and not any(one.name == user or one.name.startswith((user + "_", user + ".")) for user in users)
    ]
    assert strangers == []


def test_the_catalogue_has_two_users_in_the_hooks() -> None:
    catalogue = "splitmirror_drivers.catalogue"
    users = [one.name for one in below("splitmirror") if any(is_below(name, catalogue) for name in one.at_run_time())]
    assert users == ["splitmirror.policy.drivers", "splitmirror.wiring"]


def test_a_driver_takes_nothing_from_the_catalogue_but_what_it_is_built_with() -> None:
    catalogue = "splitmirror_drivers.catalogue"
    taken = {name for one in below("splitmirror_drivers") for name in one.at_run_time() if is_below(name, catalogue)}
    assert taken <= {catalogue, f"{catalogue}.Context"}


STARTERS = ("subprocess", "pty", "os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn")


def started(module: Module) -> list[str]:
    """What a module calls that starts a process. Naming subprocess's types is no start."""
    calls = [node for node in ast.walk(tree.parsed(module.path)) if isinstance(node, ast.Call)]
    return [said for call in calls if (said := ast.unparse(call.func)).startswith(STARTERS)]


def test_only_the_kit_starts_commands() -> None:
    users = {one.name: calls for one in tree.modules() if (calls := started(one))}
    assert users == {"splitmirror_drivers.kit.command": ["subprocess.Popen"]}
    assert [one.name for one in tree.modules() if "subprocess.Popen" in one.at_run_time()] == []


HEAVY = ("paramiko", "winrm", "tomlkit", "rich", "keyring", "asyncio", "requests")


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_are_loaded_only_when_they_are_needed(library: str) -> None:
    # a module that is itself imported late may import them at its top
    eager = {name for one in tree.modules() for name in one.at_once()}
    users = [
        one.name
        for one in tree.modules()
        if one.name in eager and any(is_below(name, library) for name in one.at_once())
    ]
    assert users == []


def test_the_rules_see_what_they_forbid() -> None:
    source = "if TYPE_CHECKING:\n    import a\ndef f():\n    from b.c import d\n"
    found = list(tree.imports(ast.parse(source)))
    assert [(one.name, one.is_for_checkers, one.is_late) for one in found] == [
        ("a", True, False),
        ("b.c", False, True),
        ("b.c.d", False, True),
    ]
