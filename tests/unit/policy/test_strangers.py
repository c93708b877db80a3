"""Drivers of third parties: built like our own, asked for only when they are named, and never in the way of a call."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.policy import stranger

from splitmirror import wiring
from splitmirror.policy.load import parse
from splitmirror_drivers import catalogue
from splitmirror_drivers.kit.errors import PolicyFault

TEXT = """\
[arrays.symm]
driver = "strange"
serial = "42"
groups.erp.source-path = "/srv"
[policies.erp]
mirrors = [{ array = "symm", groups = ["erp"] }]
"""


@pytest.fixture(autouse=True)
def strange_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger.install(tmp_path, monkeypatch)


def test_an_array_of_a_third_party_is_built_like_our_own(tmp_path: Path) -> None:
    built: object = wiring.job(parse(TEXT, Path("/p")), "erp", tmp_path).mirrors[0].array
    assert isinstance(built, tuple), "the stranger's make hands back what it was given"
    assert (built[0], built[1].serial) == ("symm", "42")


def test_a_product_of_a_third_party_is_known_when_it_is_named() -> None:
    assert "strange-backup" in wiring.products("strange-backup")
    assert "strange-backup" not in wiring.products()
    assert wiring.products("no-such-product").keys() == wiring.products().keys()


def test_a_product_that_cannot_be_loaded_is_not_known_and_stops_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger.install(tmp_path / "b", monkeypatch, "[splitmirror.products]\nbad = no_such_module:product\n")
    assert "bad" not in wiring.products("bad")


def test_ours_come_before_a_strangers_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger.install(tmp_path / "b", monkeypatch, "[splitmirror.arrays]\nbtrfs = strange_array:driver\n")
    assert catalogue.find(catalogue.ARRAYS, "arrays", "btrfs") is catalogue.ARRAYS["btrfs"]


def test_nobody_has_it() -> None:
    assert catalogue.find(catalogue.ARRAYS, "arrays", "no-such-array") is None
    assert {"strange", "broken", "btrfs"} <= set(catalogue.names(catalogue.ARRAYS, "arrays"))
    with pytest.raises(PolicyFault, match="cannot be loaded"):
        catalogue.find(catalogue.ARRAYS, "arrays", "broken")
