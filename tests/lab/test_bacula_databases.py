"""The whole main job: two live databases on two data servers over SSH, backed up by a real Bacula with the hooks as RunScripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.bacula import Bacula, bacula
from tests.lab.bacula_site import JOB, Hooks, hooks, kinds, restored
from tests.lab.bacula_site import SAMPLE as JOB_SAMPLE
from tests.lab.need import need
from tests.lab.site import (
    Site,
    committed_before_split,
    mariadb,
    policy,
    postgresql,
    restored_mariadb,
    restored_postgresql,
    rows_of,
    site,
    writing,
)

from splitmirror.journal.contract import Status

pytestmark = pytest.mark.lab
DATABASES = ("pg", "my")


@pytest.fixture(params=kinds())
def called(request: pytest.FixtureRequest) -> Hooks:
    return hooks(request.param)


@pytest.fixture
def here() -> Iterator[Site]:
    need("sshd", "mkfs.btrfs", "mariadbd", "psql", loop=True)
    with site() as made:
        made.data_server("db1")
        made.data_server("db2")
        yield made


def job_of(here: Site, called: Hooks) -> str:
    """The sample job with this site's hooks, and both copies and both cards in its file set."""
    text = JOB_SAMPLE.read_text(encoding="utf-8")
    backup = here.folder / "backup"
    files = "\n".join(f'    File = "{backup}/{name}"\n    File = "{backup}/{name}.card"' for name in DATABASES)
    first, _, rest = text.partition('    File = "/backup/erp"')
    text = f"{first}{files}\n{rest[rest.index('  }') :]}"
    for hook, line in (("pre", called.pre), ("post", called.post)):
        assert text.count(f"/opt/splitmirror/splitmirror-{hook}") == 1
        text = text.replace(f"/opt/splitmirror/splitmirror-{hook}", f"{line} --config {here.config}")
    return text


def is_at_rest(here: Site, product: Bacula, job_id: int) -> None:
    assert list((here.folder / "backup").iterdir()) == [], product.log(job_id)
    assert here.journal().open_runs() == ()
    assert here.journal().claims() == ()


def test_two_live_databases_are_backed_up_and_every_committed_row_comes_back(here: Site, called: Hooks) -> None:
    with postgresql(here, "pg", "db1") as pg, mariadb(here, "my", "db2") as my:
        policy(here, "erp", DATABASES)
        with bacula(here.folder / "bacula", job_of(here, called)) as product, writing(pg, my) as writers:
            done = product.run(JOB)
            assert done.status == "T", done.log
            assert "application copy at" in done.log
            is_at_rest(here, product, done.job_id)
            needed = [committed_before_split(here, "erp", writer.commits) for writer in writers]
            for writer in writers:
                writer.wait_for_more()
            assert product.restore(JOB, here.folder / "restored").status == "T"
        backup = restored(here.folder / "restored", here.folder / "backup")
        copies = [
            restored_postgresql(here, "pg", here.folder / "second-pg", backup),
            restored_mariadb(here, "my", here.folder / "second-my", backup),
        ]
        for copy, least in zip(copies, needed, strict=True):
            rows = rows_of(copy)
            assert rows == list(range(1, len(rows) + 1))
            assert len(rows) >= least


def test_a_data_server_that_is_down_fails_the_job_and_the_other_writes_on(here: Site, called: Hooks) -> None:
    with postgresql(here, "pg", "db1") as pg, mariadb(here, "my", "db2") as my:
        policy(here, "erp", DATABASES)
        with bacula(here.folder / "bacula", job_of(here, called)) as product, writing(pg, my) as writers:
            here.servers["db2"].stop()
            failed = product.run(JOB)
            assert failed.status == "f", failed.log
            assert "db2" in failed.log
            assert product.saved(failed.job_id) == set()
            assert here.last_run("erp").status is Status.FAILED
            is_at_rest(here, product, failed.job_id)
            for writer in writers:
                writer.wait_for_more()
