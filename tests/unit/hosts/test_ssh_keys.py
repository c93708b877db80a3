"""Host keys as known_hosts has them, and private keys as people have them. ssh-keygen is the judge where it is there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from pathlib import Path
from shutil import which

import pytest

from splitmirror_drivers.hosts.ssh_keys import HostKey, Trust, host_name, parse, private_key
from splitmirror_drivers.kit.errors import HostKeyRefused, LoginRefused
from splitmirror_drivers.kit.secret import Secret

KEY = HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32)))
OTHER = HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(1, 33)))


def hashed(name: str) -> str:
    salt = b"s" * 20
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))


@pytest.mark.parametrize(
    ("patterns", "address", "port", "is_known"),
    [
        ("db1", "db1", 22, True),
        ("db1", "DB1", 22, True),
        ("DB1", "db1", 22, True),
        ("db1", "db11", 22, False),
        ("db1", "db1", 2222, False),
        ("[db1]:2222", "db1", 2222, True),
        ("[db1]:2222", "db1", 22, False),
        ("db0,db1,192.0.2.7", "192.0.2.7", 22, True),
        ("*.example.com", "db1.example.com", 22, True),
        ("*.example.com", "example.com", 22, False),
        ("db?", "db1", 22, True),
        ("db?", "db12", 22, False),
        ("db.1", "dbx1", 22, False),
        ("*.example.com,!bad.example.com", "bad.example.com", 22, False),
        ("*.example.com,!bad.example.com", "good.example.com", 22, True),
        ("2001:db8::1", "2001:db8::1", 22, True),
        (hashed("db1"), "db1", 22, True),
        (hashed("db1"), "db2", 22, False),
        (hashed("[db1]:2222"), "db1", 2222, True),
        ("|1|broken", "db1", 22, False),
    ],
)
def test_a_line_speaks_of_the_names_that_ssh_says(patterns: str, address: str, port: int, is_known: bool) -> None:
    (line,) = parse(f"{patterns} {KEY.line()} a comment", "kh")
    assert line.is_for(host_name(address, port)) is is_known


def test_lines_that_are_none_are_passed_over() -> None:
    text = (
        f"# db1 {KEY.line()}\n\ndb1\ndb1 ssh-ed25519 not*base64\n@cert-authority * {KEY.line()}\n@new * {KEY.line()}\n"
    )
    assert parse(text, "kh") == []
    assert parse(f"{text}  db1  {KEY.line()}\n", "kh")[0].where == "kh:7"


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


def test_a_known_key_is_accepted_and_any_other_refused(known: Path) -> None:
    known.write_text(f"db1 {KEY.line()}\n")
    trust = Trust(files=(str(known),))
    trust.check(KEY, "db1", "db1", 22)
    with pytest.raises(HostKeyRefused, match="not the one that is known") as caught:
        trust.check(OTHER, "db1", "db1", 22)
    assert OTHER.fingerprint in caught.value.detail
    assert f"{KEY.fingerprint} ({known}:1)" in caught.value.detail
    with pytest.raises(HostKeyRefused, match="is not known"):
        trust.check(KEY, "db2", "db2", 22)


def test_a_revoked_key_is_refused_though_it_is_listed(known: Path) -> None:
    known.write_text(f"db1 {KEY.line()}\n@revoked * {KEY.line()}\n")
    with pytest.raises(HostKeyRefused, match="revoked") as caught:
        Trust(files=(str(known),)).check(KEY, "db1", "db1", 22)
    assert f"{known}:2" in caught.value.detail
    assert Trust(files=(str(known),)).kinds("db1", 22) == ("ssh-ed25519",)


def test_a_second_key_of_a_host_is_accepted_too(known: Path) -> None:
    known.write_text(f"db1 {OTHER.line()}\ndb* {KEY.line()}\n")
    Trust(files=(str(known),)).check(KEY, "db1", "db1", 22)


def test_a_named_file_that_is_missing_is_not_an_empty_one(known: Path) -> None:
    with pytest.raises(HostKeyRefused, match="does not exist"):
        Trust(files=(str(known),)).check(KEY, "db1", "db1", 22)


@pytest.mark.parametrize("pin", [KEY.fingerprint, KEY.line(), f"{KEY.line()} root@db1"])
def test_a_pin_accepts_its_key_and_no_other(pin: str, known: Path) -> None:
    known.write_text(f"db1 {OTHER.line()}\n")
    trust = Trust((pin,), (str(known),))
    trust.check(KEY, "db1", "db1", 22)
    with pytest.raises(HostKeyRefused) as caught:
        trust.check(OTHER, "db1", "db1", 22)
    assert KEY.fingerprint in caught.value.detail
    assert OTHER.fingerprint in caught.value.detail


def test_a_cluster_may_have_a_pin_for_each_node() -> None:
    trust = Trust((KEY.fingerprint, OTHER.line()))
    trust.check(KEY, "erp", "db1", 22)
    trust.check(OTHER, "erp", "db2", 22)


# -- private keys --

FORMS = ("RFC4716", "PEM", "PKCS8")
needs_keygen = pytest.mark.skipif(not which("ssh-keygen"), reason="ssh-keygen is not on this machine")


def made(folder: Path, *options: str) -> tuple[Secret, str]:
    """A key's text and its fingerprint by ssh-keygen."""
    path = folder / "key"
    subprocess.run(["ssh-keygen", "-q", *options, "-f", str(path)], check=True, timeout=60)
    said = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, timeout=60, capture_output=True, text=True)
    return Secret(path.read_text().strip()), said.stdout.split()[1]


@needs_keygen
@pytest.mark.parametrize("phrase", ["", "a long phrase"])
@pytest.mark.parametrize(
    ("kind", "form"),
    [
        *((kind, form) for kind in ("rsa -b 2048", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521") for form in FORMS),
        ("ed25519", "RFC4716"),  # ssh-keygen writes no other
    ],
)
def test_every_common_form_of_key_is_read(kind: str, form: str, phrase: str, tmp_path: Path) -> None:
    text, fingerprint = made(tmp_path, "-t", *kind.split(), "-m", form, "-N", phrase)
    key = private_key(text, Secret(phrase) if phrase else None, "it")
    assert key.fingerprint == fingerprint
    assert key.can_sign()


@needs_keygen
@pytest.mark.parametrize("form", FORMS)
def test_a_key_that_cannot_be_opened_says_why_and_shows_nothing(form: str, tmp_path: Path) -> None:
    text, _ = made(tmp_path, "-t", "ecdsa", "-m", form, "-N", "a long phrase")
    for phrase, why in ((None, "it has a passphrase"), (Secret("another phrase"), "the passphrase may be wrong")):
        with pytest.raises(LoginRefused, match=why) as caught:
            private_key(text, phrase, "the key file /k")
        assert "the key file /k" in caught.value.message
        assert "PRIVATE" not in caught.value.full()


@needs_keygen
def test_a_passphrase_that_is_not_needed_does_no_harm(tmp_path: Path) -> None:
    text, fingerprint = made(tmp_path, "-t", "ed25519", "-N", "")
    assert private_key(text, Secret("unneeded"), "it").fingerprint == fingerprint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "puttygen"),
        (KEY.line(), "public half"),
        ("nothing of the kind", "no private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "no private key"),
    ],
)
def test_what_is_no_private_key_is_told_by_its_kind(text: str, why: str) -> None:
    with pytest.raises(LoginRefused, match=why):
        private_key(Secret(text), None, "it")


def test_an_ed25519_key_in_pkcs8_is_read() -> None:
    """As openssl and some vaults write them."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    made = ed25519.Ed25519PrivateKey.generate()
    text = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = made.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert private_key(Secret(text.decode()), None, "it").get_base64() == public.decode().split()[1]


def test_an_old_kind_of_key_is_named() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import dsa

    text = dsa.generate_private_key(1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(LoginRefused, match="use Ed25519, ECDSA or RSA"):
        private_key(Secret(text.decode()), None, "it")
