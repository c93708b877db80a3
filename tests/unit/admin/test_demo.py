"""The demo: two backups under a writer that never stops, without root, and nothing left behind."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from tests.unit.admin.stage import arguments

from splitmirror.admin import demo
from splitmirror_drivers.kit.errors import CommandFailed, Fault, UsageFault


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its folder, and a home of its own that must stay empty."""
    for name in ("tmp", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return tmp_path


def test_every_copy_is_good_the_second_incremental_and_nothing_is_left(place: Path) -> None:
    report = place / "report"
    said = io.StringIO()
    with redirect_stdout(said):
        assert demo.run(arguments("demo", "--report", str(report))) == 0
    text = report.read_text()
    assert said.getvalue() == text
    assert text.count("application copy at") == 2
    assert text.count(": good: integrity ok") == 2
    assert "the demo succeeded" in text
    first, second = copied_kib(text)
    assert first >= demo.PAYLOAD_MIB * 1024
    assert second < first / 2
    assert list((place / "tmp").iterdir()) == []
    assert list((place / "home").iterdir()) == []


def copied_kib(report: str) -> list[int]:
    """What each round's establish has copied, from the report."""
    lines = [line for line in report.splitlines() if line.strip().startswith("copied")]
    return [int(line.split(":")[1].split()[0]) for line in lines]


def test_a_demo_that_fails_says_what_failed_and_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "POLICY", demo.POLICY.replace('driver = "directory"', 'driver = "no-such-array"'))
    with redirect_stdout(io.StringIO()), pytest.raises(CommandFailed, match="establish failed in the demo") as caught:
        demo.run(arguments("demo"))
    assert "no-such-array" in caught.value.detail
    assert list((place / "tmp").iterdir()) == []


def test_a_writer_that_failed_fails_the_demo(tmp_path: Path) -> None:
    writer = demo.Writer(tmp_path / "no-table.db")
    writer.start()
    writer.await_rows(1)
    with pytest.raises(Fault, match="no such table"):
        writer.stop()


def test_a_demo_has_a_round(place: Path) -> None:
    with pytest.raises(UsageFault):
        demo.run(arguments("demo", "--rounds", "0"))
    assert list((place / "tmp").iterdir()) == []


def test_where_there_is_no_python_the_executable_itself_is_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/splitmirror/splitmirror-pre")
    assert demo.client_words() == ["/opt/splitmirror/splitmirror", "demo", "--sqlite-client"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 1;\nselect 'sm-done';\n"))
    words = ["-I", "-S", "-c", "exec('…')", f"file:{tmp_path}/x.db?mode=rwc"]
    assert demo.run(arguments("demo", "--sqlite-client", *words)) == 0
    assert capsys.readouterr().out == "1\nsm-done\n"
