"""A server over real SSH keeps the promises of every host, with its guard sent and with its guard installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.host import FAMILIES, HostContract, RunContract
from tests.faults.guard.stage import Stage
from tests.lab.ssh_server import Lab, Server, laboratory, sudoers

from splitmirror.admin import install_guard
from splitmirror_drivers.contracts.host import Host, Verb
from splitmirror_drivers.hosts import program
from splitmirror_drivers.kit.command import Command
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, Refused

pytestmark = pytest.mark.lab

STRICT_SUDO = "Defaults requiretty\nDefaults use_pty\n"
"""What some distributions have: with either of them a guard could not be started, or would not see its link end."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory() as lab:
        yield lab


@pytest.fixture(scope="module")
def plain(lab: Lab) -> Server:
    return lab.server("plain")


@pytest.fixture(scope="module")
def user(lab: Lab) -> str:
    return lab.user()


class OverSsh:
    server: Server

    def lose_link(self, stage: Stage) -> None:
        self.server.kick()


class TestSsh(OverSsh, RunContract):
    @pytest.fixture(autouse=True)
    def the_server(self, plain: Server) -> None:
        self.server = plain

    def open(self, folder: Path) -> Host:
        return self.server.host(guard_dir=str(folder / "state"), family_dirs=(FAMILIES,))


class TestSshWithSudo(OverSsh, RunContract):
    """An ordinary login that becomes root for everything."""

    @pytest.fixture(autouse=True)
    def the_server(self, plain: Server, user: str) -> Iterator[None]:
        self.server, self.user = plain, user
        rule = f"Defaults:{user} !requiretty, !use_pty\n{user} ALL=(root) NOPASSWD: ALL\n"
        with sudoers(STRICT_SUDO + rule):
            yield

    def open(self, folder: Path) -> Host:
        return self.server.host(user=self.user, sudo="root", guard_dir=str(folder / "state"), family_dirs=(FAMILIES,))


class Installed(OverSsh, HostContract):
    """The guard that `splitmirror install-guard` puts there, behind its forced command."""

    @pytest.fixture
    def who(self) -> tuple[str, str]:
        """The login's account, and whom it becomes."""
        return "root", ""

    @pytest.fixture(autouse=True)
    def install(
        self, lab: Lab, plain: Server, who: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As root, over an inline login, as a person would; then the key is locked."""
        if Path("/run/systemd/system").is_dir():
            pytest.skip("does not apply: this machine has systemd, and a test enables no unit on it")
        self.user, self.account = who
        folder = lab.folder / f"libexec-{len(lab.servers)}"
        monkeypatch.setattr(install_guard, "FOLDER", str(folder))
        monkeypatch.setattr(install_guard, "PROGRAM", str(folder / "splitmirror-guard"))
        key = (lab.folder / "user_key.pub").read_text().strip()
        state = str(tmp_path / "state")
        self.login = install_guard.Login(self.user, self.account, state, key, family_dirs=(FAMILIES,))
        assert install_guard.put_in_place(plain.host(), self.login)
        self.server = lab.locked(install_guard.authorized_keys(self.login), f"locked-{len(lab.servers)}")

    def open(self, folder: Path) -> Host:
        return self.server.host(user=self.user, sudo=self.account, guard="installed", family_dirs=(FAMILIES,))

    def may_fetch(self, folder: Path) -> None:
        (folder / "state").mkdir(exist_ok=True, mode=0o700)
        (folder / "state" / "fetch-folders").write_text(f"{folder}\n")

    def test_commands_are_refused_with_the_way_out(self, host: Host) -> None:
        with pytest.raises(Refused, match="runs verbs only") as caught:
            host.run(Command(("id",)), Deadline.after(10))
        assert "inline" in caught.value.hint

    def test_the_key_opens_nothing_else(self) -> None:
        inline = self.server.host(user=self.user, guard_dir=self.login.state)
        with pytest.raises(Refused) as caught:
            inline.run(Command(("id",)), Deadline.after(10))
        assert "may only run" in caught.value.detail

    def test_a_file_of_no_listed_folder_is_not_fetched(self, host: Host, tmp_path: Path) -> None:
        self.may_fetch(tmp_path)
        with pytest.raises(CommandFailed) as caught:
            host.fetch("/etc/hostname", 1000, Deadline.after(10))
        assert "fetch-folders" in caught.value.detail

    def test_another_versions_guard_is_refused_with_the_cure(self, host: Host) -> None:
        installed = Path(install_guard.PROGRAM)
        checksum = program.installed((FAMILIES,)).checksum
        installed.write_text(installed.read_text().replace(f"sm_checksum={checksum}", "sm_checksum=0123"))
        for _ in range(2):
            with pytest.raises(Refused, match="is not this version's") as caught:
                host.connect(Deadline.after(10))
        assert "install-guard" in caught.value.hint
        with pytest.raises(Refused, match="is not this version's"):
            host.call(Verb("host.facts"), Deadline.after(10))


class TestInstalledAsRoot(Installed):
    """The login is root itself."""


class TestInstalledWithSudo(Installed):
    """An ordinary login, and the one rule that install-guard prints."""

    @pytest.fixture
    def who(self, user: str) -> tuple[str, str]:
        return user, "root"

    @pytest.fixture(autouse=True)
    def the_rule(self, install: None) -> Iterator[None]:
        with sudoers(STRICT_SUDO + install_guard.sudoers(self.login)):
            yield
