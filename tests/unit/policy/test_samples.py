"""Every sample that people start from loads; every sample of a mistake is refused with the sentence written in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from splitmirror import wiring
from splitmirror.policy.load import parse
from splitmirror_drivers.kit.errors import PolicyFault

SAMPLES = Path(__file__).parents[3] / "samples"
GOOD = sorted((SAMPLES / "policies").glob("*.toml"))
INVALID = sorted((SAMPLES / "invalid").glob("*.toml"))
EXPECT = "# expect: "


def test_there_are_samples() -> None:
    assert GOOD
    assert INVALID


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_sample_loads(path: Path) -> None:
    assert parse(path.read_text(), path).configuration.policies


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_sample_can_be_built(path: Path, tmp_path: Path) -> None:
    """What a driver refuses when it is built would be refused here; nothing is connected."""
    text = path.read_text().replace("/etc/splitmirror", str(tmp_path))
    for name in re.findall(rf'file = "{tmp_path}/([^"]+)"', text):
        (tmp_path / name).write_text("secret\n")
        (tmp_path / name).chmod(0o600)
    loaded = parse(text, path)
    for name in loaded.configuration.policies:
        assert wiring.job(loaded, name, tmp_path).mirrors


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_mistake_is_told_as_its_sample_says(path: Path) -> None:
    expected = [line.removeprefix(EXPECT) for line in path.read_text().splitlines() if line.startswith(EXPECT)]
    assert expected
    with pytest.raises(PolicyFault) as caught:
        parse(path.read_text(), path)
    fault = caught.value
    assert fault.message.startswith(f"{path}: ")
    said = fault.detail or f"{fault.message}; {fault.hint}"
    assert not [sentence for sentence in expected if sentence not in said], said
