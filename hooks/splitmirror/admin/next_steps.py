"""What a person does after ``splitmirror init``: the commands to try the policy, and what the backup product is told."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from splitmirror.policy.draft import Draft, Entry
from splitmirror.policy.drivers import HOSTS, LOCAL
from splitmirror.policy.rules import CARD_SUFFIX, PRESENT_KINDS

_PRODUCTS: Mapping[str, str] = {
    "generic": """\
  before the backup   {pre} --policy {name}
  after the backup    {post} --policy {name} --status good|failed|CODE
                      (always, also when the backup failed; not needed after a pre that failed)
""",
    "bacula": """\
  RunScript {{ RunsWhen = Before; RunsOnClient = Yes; FailJobOnError = Yes
              Command = "{pre} --product bacula --policy {name} --job %i --job-name %n --client %c --level %l" }}
  RunScript {{ RunsWhen = After; RunsOnClient = Yes; RunsOnSuccess = Yes; RunsOnFailure = Yes; FailJobOnError = No
              Command = "{post} --product bacula --policy {name} --job %i --job-name %n --client %c --level %l --status \\"%e\\"" }}
""",
    "netbackup": """\
  /usr/openv/netbackup/bin/bpstart_notify.{name}   from samples/products/netbackup/bpstart_notify.sh
  /usr/openv/netbackup/bin/bpend_notify.{name}     from samples/products/netbackup/bpend_notify.sh
  The names end in the NetBackup policy's name. Set BPSTART_TIMEOUT and product-limit alike: the default is 300 seconds.
""",
}
_OTHER = """\
  before the backup   {pre} --product {product} --policy {name}
  after the backup    {post} --product {product} --policy {name}
"""


def text(draft: Draft, product: str, path: Path, *, is_default: bool) -> str:
    """The lines; `is_default`: the file is found without being named."""
    config = "" if is_default else f" --config {shlex.quote(str(path))}"
    folder = Path(sys.argv[0]).absolute().parent
    calls = {hook: f"{folder / f'splitmirror-{hook}'}{config}" for hook in ("pre", "post")}
    template = _PRODUCTS.get(product.removesuffix("-strict"), _OTHER)
    backed_up = "\n".join(f"  {place}" for entry in draft.policy.get("present", ()) for place in _places(entry))
    return (
        f"\n{path} is written. Next:\n"
        f"{''.join(_login(entry) for entry in draft.entries if entry.section is HOSTS)}"
        f"  splitmirror check{config} {draft.name}             tries everything for real, changes nothing\n"
        f"  splitmirror plan{config} {draft.name}              shows what a run would do\n"
        f"  splitmirror establish{config} --full {draft.name}  the one full copy, ahead of time\n"
        f"\nWhat the backup product {product} is told:\n"
        f"{template.format(name=draft.name, product=product, **calls)}"
        f"\nWhat it backs up (both exist only while a copy is presented):\n{backed_up}\n"
    )


def _places(entry: Mapping[str, str]) -> list[str]:
    """What one presentation brings; a recovery card lies beside those of this machine only."""
    (path,) = (entry[kind] for kind in PRESENT_KINDS if kind in entry)
    host = entry.get("host", LOCAL)
    return [path, path + CARD_SUFFIX] if host == LOCAL else [f"{path} on {host}"]


def _login(host: Entry) -> str:
    """How the login to a new data server is made ready."""
    key = host.values["key"]["file"]
    who = f"{host.values['user']}@{host.values['addresses'][0]}"
    return (
        f"  ssh-keygen -t ed25519 -N '' -f {shlex.quote(key)}   unless there is that key\n"
        f"  {key}.pub goes into the authorized_keys of {who},\n"
        f"  that server's host key, from a source you trust, into our known_hosts: an unknown one is refused\n"
        f"  splitmirror install-guard {host.name} --print       what else belongs there, so that this key can do nothing else\n"
    )
