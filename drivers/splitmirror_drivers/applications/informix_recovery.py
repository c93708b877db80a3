"""The words of a recovery from a copy that was made under a block.

Sources: HCL Informix 12.10, "External backup and restore overview"; HCL OneDB 1.0.1, "Data that is backed up in an
external backup"; operations notes of GBase 8s for the order of commands.
"""

from __future__ import annotations

from dataclasses import dataclass

from splitmirror_drivers.applications.informix_server import Chunk


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the paragraphs are made from."""

    options_dir: str
    server: str
    account: str
    chunks: tuple[Chunk, ...]
    log: str
    verdict: str
    temporary: bool
    survives: bool
    missing: tuple[str, ...]


def steps(r: Recovery, name: str) -> tuple[str, ...]:
    """One paragraph a step."""
    env = f"INFORMIXDIR={r.options_dir} INFORMIXSERVER={r.server}"
    moment = f", at logical log {r.log}" if r.log else ""
    found = [
        f"{name} was blocked while this copy was made (verdict: {r.verdict}){moment}. Every committed row is in its chunks.",
        f"If the original still runs or its disks can be read, save the newest logical logs first, as {r.account} with "
        f"{env}: `ontape -S` (or `onbar -b -l -s`). Then take it off-line: `onmode -ky`.",
        "Put every chunk back to the same path, whole and at the same offset, owned by informix:informix with mode 660 "
        f"(raw devices: the same name):\n{_listing(r)}",
        f"Put onconfig, sqlhosts, oncfg and ixbar from CARD/{name}/ back to {r.options_dir}/etc where they differ.",
        "Restore what is now in place, with the server off-line: `ontape -p -e`, then the logs with `ontape -l`, then "
        "`onmode -m`. With ON-Bar: `onbar -r -e` does both (`onbar -r -e -p`, then `onbar -r -l`). Without any logs the server "
        "comes up at the copy's own moment: `onmode -m` after the physical restore.",
        "Afterwards: `onstat -` must end with 5 (on-line), `onstat -d` must show every chunk as PO.",
    ]
    if r.survives:
        found.append(
            "The copy is that of a blocked server. If `onstat -` shows a line `Blocked:` after it came up and nobody "
            "blocked it there: `onmode -c unblock`."
        )
    if not r.temporary and any(one.is_temporary for one in r.chunks):
        found.append(
            "Temporary spaces are not in the copy: make empty files for their chunks before the server starts."
        )
    if r.missing:
        found.append(f"Not on the card, since they could not be read: {', '.join(r.missing)}.")
    return tuple(found)


def _listing(r: Recovery) -> str:
    chosen = [one for one in r.chunks if r.temporary or not one.is_temporary]
    return "\n".join(f"  chunk {one.number} of {one.space}: {one.path} offset {one.offset}" for one in chosen)
