"""Where secrets come from, what is refused, and that no fault and no log ever shows one."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from splitmirror import redaction, secrets
from splitmirror_drivers.kit.errors import PolicyFault
from splitmirror_drivers.kit.units import SecretReference

VALUE = "hunter2-is-no-password"


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_secrets", set())


def refusal(reference: SecretReference) -> PolicyFault:
    """The fault; no fault of any test here may show the value, nor may what caused it."""
    with pytest.raises(PolicyFault) as caught:
        secrets.resolve(reference)
    fault = caught.value
    assert VALUE not in fault.full()
    if not fault.__suppress_context__:
        assert VALUE not in f"{fault.__cause__!r} {fault.__context__!r}"
    return fault


def file(folder: Path, content: bytes = f"{VALUE}\n".encode(), mode: int = 0o600) -> Path:
    path = folder / "pw"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def python(program: str) -> SecretReference:
    return SecretReference(command=(sys.executable, "-c", program))


def key_ring(monkeypatch: pytest.MonkeyPatch, get_password: object) -> SecretReference:
    monkeypatch.setitem(sys.modules, "keyring", types.SimpleNamespace(get_password=get_password))
    return SecretReference(keyring="splitmirror/erp")


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_PW", VALUE)
    assert secrets.resolve(SecretReference(env="ERP_PW")).reveal() == VALUE


def test_from_a_private_file_without_its_line_end(tmp_path: Path) -> None:
    assert secrets.resolve(SecretReference(file=str(file(tmp_path)))).reveal() == VALUE


@pytest.mark.parametrize(
    ("content", "wanted"), [(b"a", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), (b"a\nb\n", "a\nb")]
)
def test_only_one_line_end_is_taken_away(content: bytes, wanted: str, tmp_path: Path) -> None:
    assert secrets.resolve(SecretReference(file=str(file(tmp_path, content)))).reveal() == wanted


def test_from_a_command() -> None:
    assert secrets.resolve(python(f"print('{VALUE[:8]}' '{VALUE[8:]}')")).reveal() == VALUE


def test_from_the_key_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = {("splitmirror", "erp"): VALUE}
    assert secrets.resolve(key_ring(monkeypatch, lambda *who: ring[who])).reveal() == VALUE


def test_what_was_resolved_is_never_shown_again(tmp_path: Path) -> None:
    secrets.resolve(SecretReference(file=str(file(tmp_path))))
    assert redaction.redacted(f"psql said {VALUE}!") == "psql said …!"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o610, 0o601])
def test_a_file_that_is_open_to_others_is_refused_with_mode_and_cure(mode: int, tmp_path: Path) -> None:
    fault = refusal(SecretReference(file=str(file(tmp_path, mode=mode))))
    assert f"mode {mode:04o}" in fault.message
    assert f"chmod 0600 {tmp_path / 'pw'}" in fault.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    os.chown(file(tmp_path), 12345, -1)
    assert "belongs to uid 12345" in refusal(SecretReference(file=str(tmp_path / "pw"))).message


def test_what_is_no_file_is_refused_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path):
        assert "is not a regular file" in refusal(SecretReference(file=str(path))).message


def test_a_file_that_is_gone_or_relative_is_named(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(SecretReference(file=str(tmp_path / "no"))).message
    assert "is not an absolute path" in refusal(SecretReference(file="pw")).message


def test_what_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    assert "not UTF-8" in refusal(SecretReference(file=str(file(tmp_path, VALUE.encode() + b"\xff")))).message
    assert "NUL" in refusal(SecretReference(file=str(file(tmp_path, VALUE.encode() + b"\0")))).message


def test_an_empty_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_PW", "")
    assert "ERP_PW is empty" in refusal(SecretReference(env="ERP_PW")).message
    assert "pw is empty" in refusal(SecretReference(file=str(file(tmp_path, b"\n")))).message
    assert "prints is empty" in refusal(python("pass")).message


def test_a_long_file_is_not_taken_for_a_secret(tmp_path: Path) -> None:
    reference = SecretReference(file=str(file(tmp_path, b"x" * (secrets.LIMIT_BYTES + 1))))
    assert "longer than 64 KiB" in refusal(reference).message


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERP_PW", raising=False)
    assert "'ERP_PW'" in refusal(SecretReference(env="ERP_PW")).message


def test_a_command_that_fails_shows_what_it_complained_and_not_what_it_printed() -> None:
    fault = refusal(python(f"import sys; print('{VALUE[:8]}' '{VALUE[8:]}'); sys.exit('vault is sealed')"))
    assert "exit code 1" in fault.message
    assert "vault is sealed" in fault.detail


def test_a_command_that_fails_in_silence_does_not_show_what_it_printed_either() -> None:
    assert "exit code 3" in refusal(python(f"print('{VALUE[:8]}' '{VALUE[8:]}'); raise SystemExit(3)")).message


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "DEADLINE_SECONDS", 0.2)
    fault = refusal(python(f"import time; print('{VALUE[:8]}' '{VALUE[8:]}', flush=True); time.sleep(60)"))
    assert "gave no secret in 0 s" in fault.message


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(Exception, match="cannot start /no/such/vault"):
        secrets.resolve(SecretReference(command=("/no/such/vault",)))


def test_an_empty_command_is_named() -> None:
    assert "command is empty" in refusal(SecretReference(command=())).message


def test_a_key_ring_without_the_entry_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = refusal(key_ring(monkeypatch, lambda *_: None))
    assert fault.message == "the key ring has no splitmirror/erp"
    assert fault.hint == "keyring set splitmirror erp"


def test_a_key_ring_that_fails_does_not_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: str) -> str:
        raise RuntimeError(f"{VALUE} is locked")

    assert "RuntimeError" in refusal(key_ring(monkeypatch, fails)).message


def test_a_key_ring_that_waits_for_somebody_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    asked = threading.Event()
    monkeypatch.setattr(secrets, "DEADLINE_SECONDS", 0.1)
    fault = refusal(key_ring(monkeypatch, lambda *_: asked.wait(30) and VALUE))
    asked.set()
    assert "the key ring gave no answer" in fault.message


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    fault = refusal(SecretReference(keyring="splitmirror/erp"))
    assert "keyring is not installed" in fault.message
    assert "splitmirror[keyring]" in fault.hint


@pytest.mark.parametrize("name", ["erp", "/erp", "splitmirror/", ""])
def test_a_key_ring_entry_has_a_service_and_a_user(name: str) -> None:
    assert "is not SERVICE/USER" in refusal(SecretReference(keyring=name)).message


def test_a_reference_to_nothing_or_to_two_places_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="a secret is one reference"):
        SecretReference()
    with pytest.raises(ValueError, match="a secret is one reference"):
        SecretReference(env="A", file="/b")
