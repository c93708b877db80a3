"""What the `rbd` driver refuses, and what it makes of words, codes and layouts that nobody listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.presentation.recorded import RecordedHost, Said

from splitmirror_drivers.arrays import rbd_calls
from splitmirror_drivers.arrays.rbd import ANSWERS, Group, Options, Rbd
from splitmirror_drivers.catalogue import Context
from splitmirror_drivers.contracts.array import Atomic, Move, PairState, Receipt, Source
from splitmirror_drivers.contracts.host import Answer
from splitmirror_drivers.kit.deadline import Deadline
from splitmirror_drivers.kit.errors import CommandFailed, InUse, PolicyFault, Refused, UnknownAnswer
from splitmirror_drivers.kit.secret import Secret

GOLDEN = Path(__file__).parents[2] / "golden" / "rbd"
CONTEXT = Context(secret=lambda reference: Secret(""), state_folder="/var/lib/splitmirror")
IMAGES = ("rbd/v1", "rbd/v2")
COPY = Receipt("ceph", "erp", "run-1")
SNAP = "splitmirror.run-1"
KINDS: dict[str, Any] = {
    "snap-ls": tuple[rbd_calls.Snapshot, ...],
    "info": rbd_calls.Info,
    "group-image-ls": tuple[rbd_calls.Member, ...],
    "group-snap-ls": tuple[rbd_calls.GroupSnapshot, ...],
    "device-list": tuple[rbd_calls.Mapping, ...],
    "children": tuple[rbd_calls.Child, ...],
    "ls": tuple[str, ...],
}


def soon() -> Deadline:
    return Deadline.after(5)


def answer(value: object) -> Said:
    return 0, json.dumps(value)


def snaps(*names: str, protected: str = "false") -> Said:
    return answer([{"id": n, "name": name, "protected": protected} for n, name in enumerate(names, 1)])


def in_group(*names: str) -> Said:
    space = {"type": "group", "pool": "rbd", "group": "erp"}
    rows = [
        {"id": n, "name": f".group.{n}", "namespace": {**space, "group snap": name}} for n, name in enumerate(names, 7)
    ]
    return answer(rows)


def image(*features: str, parent: object = None) -> Said:
    return answer({"name": "v1", "size": 1, "op_features": features, **({"parent": parent} if parent else {})})


def world(
    said: dict[str, Said] | None = None,
    users: Answer | None = None,
    options: dict[str, Any] | None = None,
    **group: Any,
) -> tuple[Rbd, RecordedHost]:
    """Two images with the copy ``run-1``, in a group of rbd's own where `group` says so."""
    given: dict[str, Said] = {
        "rbd info --format json": image(),
        "rbd snap ls --all": snaps(SNAP, "daily"),
        "rbd group image ls": answer([{"image": name, "pool": "rbd", "state": 0} for name in ("v1", "v2")]),
        "rbd group snap ls": answer([{"snapshot": SNAP, "state": "complete"}]),
        "rbd device list": answer([]),
        "rbd children": answer([]),
        "rbd ls": answer(["v1", "v2"]),
    }
    for word in (
        "snap create",
        "group snap create",
        "snap rm",
        "group snap rm",
        "snap protect",
        "snap unprotect",
        "clone",
        "rm",
        "device map",
        "device unmap",
    ):
        given[f"rbd {word}"] = (0, "")
    host = RecordedHost(given | (said or {}), {"filesystem.users": users or Answer({}, 0, "")})
    of = Group(**{"images": IMAGES, **group})
    return Rbd.from_options("ceph", Options(groups={"erp": of}, **(options or {})), host, CONTEXT), host


def acts(host: RecordedHost) -> list[str]:
    looks = (
        "rbd info",
        "rbd snap ls",
        "rbd group image ls",
        "rbd group snap ls",
        "rbd device list",
        "rbd children",
        "rbd ls",
        "filesystem",
    )
    return [line for line in host.asked if not line.startswith(looks)]


# -- layouts --


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_layouts_are_read(path: Path) -> None:
    one = json.loads(path.read_text(encoding="utf-8"))
    kind = next(kind for name, kind in KINDS.items() if path.stem.startswith(name))
    found = msgspec.json.decode(one["stdout"][0], type=kind)
    assert one["source"]
    assert shape(found) == one["result"]


def shape(found: Any) -> Any:
    match found:
        case rbd_calls.Snapshot():
            space = found.namespace
            return [found.id, found.name, found.is_protected, space.type, space.group, space.group_snap]
        case rbd_calls.Info():
            parent = found.parent
            return [
                found.name,
                list(found.op_features),
                [parent.pool, parent.image, parent.snapshot] if parent else None,
            ]
        case rbd_calls.Member():
            return [found.image, found.pool, found.state]
        case rbd_calls.GroupSnapshot():
            return [found.snapshot, found.state]
        case rbd_calls.Mapping():
            return [found.pool, found.name, found.snap, found.device]
        case rbd_calls.Child():
            return [found.pool, found.image]
        case tuple():
            return [shape(one) for one in found]
    return found


@pytest.mark.parametrize("text", ["not json", '{"a": 1}', '[{"id": "x"}]', '[{"name": "n"}]'])
def test_a_layout_that_is_not_known_is_unknown(text: str) -> None:
    array, _ = world({"rbd snap ls --all": (0, text)})
    with pytest.raises(UnknownAnswer):
        array.query("erp", soon())


# -- options --


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"groups": {}}, "no groups"),
        ({"groups": {"x": Group(images=())}}, "no images"),
        ({"groups": {"x": Group(images=("rbd/a", "rbd/a"))}}, "twice"),
        ({"groups": {"x": Group(images=("a",))}}, "not POOL/NAME"),
        ({"groups": {"x": Group(images=("rbd/ns/a",))}}, "not POOL/NAME"),
        ({"groups": {"x": Group(images=("rbd/a@b",))}}, "not POOL/NAME"),
        ({"groups": {"x": Group(images=("rbd/a",), group="erp", show="clone")}}, "not POOL/NAME"),
        ({"groups": {"x": Group(images=("rbd/a",), group="rbd/erp")}}, "cannot be mapped"),
        ({"groups": {"x": Group(images=("rbd/a",), devices={"rbd/b": "/dev/sda"})}}, "no image of it"),
        ({"groups": {"x": Group(images=("rbd/a",), devices={"rbd/a": "sda"})}}, "neither a path nor wwn"),
        ({"groups": {"x": Group(images=("rbd/a",), devices={"rbd/a": "/dev/sda"})}}, "whose path"),
        ({"id": "-x"}, "is no name"),
        ({"clones": "a/b"}, "is no name"),
        ({"devices": "dev"}, "absolute"),
        ({"copy_host": "nobody"}, "nobody"),
    ],
)
def test_tables_that_are_refused(given: dict[str, Any], what: str) -> None:
    options = Options(**{"groups": {"erp": Group(images=IMAGES)}, **given})
    with pytest.raises(PolicyFault, match=what):
        Rbd.from_options("ceph", options, RecordedHost(), CONTEXT)


@pytest.mark.parametrize(
    ("group", "vouched", "atomic"),
    [
        ({"images": ("rbd/v1",)}, False, Atomic.PAIR),
        ({}, True, Atomic.NOTHING),
        ({"group": "rbd/erp", "show": "clone"}, False, Atomic.NOTHING),
        ({"group": "rbd/erp", "show": "clone"}, True, Atomic.GROUP),
    ],
)
def test_what_is_one_moment(group: dict[str, Any], vouched: bool, atomic: Atomic) -> None:
    array, _ = world(options={"consistent_groups": vouched}, **group)
    assert array.traits.atomic is atomic
    assert array.traits.tracks_copy_writes is (group.get("show") == "clone")


# -- looking --


def test_query_shows_copies_of_ours_alone() -> None:
    array, _ = world()
    pairs = array.query("erp", soon())
    assert [(pair.name, pair.state, pair.copy) for pair in pairs] == [
        ("rbd/v1", PairState.PREPARED, ""),
        ("rbd/v2", PairState.PREPARED, ""),
        ("rbd/v1@splitmirror.run-1", PairState.SPLIT, "run-1"),
        ("rbd/v2@splitmirror.run-1", PairState.SPLIT, "run-1"),
    ]


@pytest.mark.parametrize(
    ("features", "state"),
    [
        (("clone-parent", "group"), PairState.PREPARED),
        (("migrating",), PairState.BROKEN),
        (("sideways",), PairState.UNKNOWN),
    ],
)
def test_what_an_image_takes_part_in_decides(features: tuple[str, ...], state: PairState) -> None:
    array, _ = world({"rbd info --format json": image(*features)})
    assert {pair.state for pair in array.query("erp", soon()) if not pair.copy} == {state}
    assert array.progress("erp", soon()).is_done == (state is PairState.PREPARED)
    if state is not PairState.PREPARED:
        with pytest.raises(Refused, match=features[0]):
            array.stand_by(["erp"], "run-2", soon())


@pytest.mark.parametrize(
    ("word", "state"),
    [("ok", PairState.SPLIT), ("incomplete", PairState.BROKEN), ("sideways", PairState.UNKNOWN)],
)
def test_the_word_of_a_groups_snapshot_decides(word: str, state: PairState) -> None:
    said = {"rbd group snap ls": answer([{"snapshot": SNAP, "state": word}]), "rbd snap ls --all": in_group(SNAP)}
    array, _ = world(said, group="rbd/erp", show="clone")
    assert [pair.state for pair in array.query("erp", soon()) if pair.copy] == [state]
    if state is not PairState.SPLIT:
        with pytest.raises(Refused, match="it is no copy"):
            array.settle(COPY, soon())


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ([{"image": "v1", "pool": "rbd", "state": 0}], "has rbd/v1, and the policy names rbd/v1, rbd/v2"),
        ([{"image": n, "pool": "rbd", "state": 0} for n in ("v1", "v2", "v3")], "has rbd/v1, rbd/v2, rbd/v3"),
        ([], "has no images"),
        ([{"image": n, "pool": "rbd", "state": 1} for n in ("v1", "v2")], "is not whole"),
    ],
)
def test_membership_is_compared(members: list[dict[str, object]], what: str) -> None:
    array, _ = world({"rbd group image ls": answer(members)}, group="rbd/erp", show="clone")
    with pytest.raises(Refused, match=what):
        array.query("erp", soon())


def test_an_image_that_is_gone_is_named() -> None:
    array, _ = world({"rbd info --format json rbd/v2": (2, "No such file")})
    with pytest.raises(Refused, match="rbd/v2 cannot be asked about"):
        array.query("erp", soon())


def test_sources_are_as_the_policy_or_the_host_maps_them() -> None:
    mapped = answer([{"pool": "rbd", "name": "v2", "snap": "-", "device": "/dev/rbd5"}])
    array, _ = world({"rbd device list": mapped}, devices={"rbd/v1": "wwn:50aa"})
    assert array.sources("erp", soon()) == (Source("device", "wwn:50aa"), Source("device", "/dev/rbd5", "db1"))
    array, _ = world(devices={"rbd/v1": "/dev/vdb"}, source_host="db7")
    assert array.sources("erp", soon()) == (Source("device", "/dev/vdb", "db7"), Source("device", "rbd:rbd/v2"))


# -- split --


def test_images_one_after_another_and_a_group_at_once() -> None:
    array, host = world()
    array.split(["erp"], "run-2", soon())
    assert host.asked == [f"rbd snap create --no-progress rbd/{name}@splitmirror.run-2" for name in ("v1", "v2")]
    array, host = world(group="rbd/erp", show="clone", options={"id": "backup", "cluster": "prod"})
    array.split(["erp"], "run-2", soon())
    assert host.asked == ["rbd group snap create rbd/erp@splitmirror.run-2 --id backup --cluster prod"]


def test_a_split_that_failed_is_looked_at() -> None:
    array, _ = world({"rbd snap create": (5, "I/O error"), "rbd snap ls --all": snaps("daily")})
    with pytest.raises(CommandFailed, match=SNAP):
        array.split(["erp"], "run-1", soon())
    array, _ = world({"rbd snap create": (17, "exists"), "rbd snap ls --all rbd/v2": snaps()})
    with pytest.raises(UnknownAnswer, match="is there for rbd/v1 and not for the rest"):
        array.split(["erp"], "run-1", soon())
    array, _ = world({"rbd snap create": (17, "exists")})
    (receipt,) = array.split(["erp"], "run-1", soon())
    assert receipt.is_again


@pytest.mark.parametrize("word", ["incomplete", "sideways"])
def test_half_of_a_group_is_never_a_copy(word: str) -> None:
    said = {
        "rbd group snap create": (5, "I/O error"),
        "rbd group snap ls": answer([{"snapshot": SNAP, "state": word}]),
        "rbd snap ls --all": snaps(),
        "rbd snap ls --all rbd/v1": in_group(SNAP),
    }
    array, _ = world(said, group="rbd/erp", show="clone")
    with pytest.raises(UnknownAnswer, match="not for the rest"):
        array.split(["erp"], "run-1", soon())


def test_a_name_that_is_taken_is_found_before_anything_waits() -> None:
    array, host = world()
    with pytest.raises(Refused, match="is there already"):
        array.stand_by(["erp"], "run-1", soon())
    array.stand_by(["erp"], "run-2", soon())
    assert acts(host) == []


@pytest.mark.parametrize("copy", ["", "a/b", "a@b", "-x", "x" * 200])
def test_what_is_no_name_for_a_copy(copy: str) -> None:
    array, host = world()
    with pytest.raises(Refused, match="not the name of a copy"):
        array.split(["erp"], copy, soon())
    assert host.asked == []


# -- the copy --


def test_a_snapshot_is_mapped_read_only_once() -> None:
    array, host = world(
        {"rbd device list": answer([{"pool": "rbd", "name": "v1", "snap": SNAP, "device": "/dev/rbd3"}])}
    )
    exposed = array.expose(COPY, soon())
    assert exposed.paths == ("/dev/rbd/rbd/v1@splitmirror.run-1", "/dev/rbd/rbd/v2@splitmirror.run-1")
    assert acts(host) == ["rbd device map --read-only rbd/v2@splitmirror.run-1"]


def test_a_clone_is_of_a_protected_snapshot_and_in_the_pool_for_clones() -> None:
    array, host = world(show="clone", images=("rbd/v1",), options={"clones": "scratch"})
    assert array.expose(COPY, soon()).paths == ("/dev/rbd/scratch/splitmirror.run-1.v1",)
    assert acts(host) == [
        "rbd snap protect rbd/v1@splitmirror.run-1",
        "rbd clone rbd/v1@splitmirror.run-1 scratch/splitmirror.run-1.v1",
        "rbd device map scratch/splitmirror.run-1.v1",
    ]


def test_a_groups_snapshot_is_cloned_by_its_number() -> None:
    said: dict[str, Said] = {"rbd snap ls --all": in_group("other", SNAP), "rbd clone": (1, "unrecognised option")}
    array, host = world(said, group="rbd/erp", show="clone")
    with pytest.raises(CommandFailed, match="cloning rbd/v1") as caught:
        array.expose(COPY, soon())
    assert "Ceph 19" in caught.value.hint
    assert acts(host) == ["rbd clone --snap-id 8 rbd/v1 rbd/splitmirror.run-1.v1"]


@pytest.mark.parametrize(
    "parent",
    [None, {"pool": "rbd", "image": "v2", "snapshot": SNAP}, {"pool": "rbd", "image": "v1", "snapshot": "daily"}],
)
def test_a_strangers_image_is_neither_used_nor_removed(parent: object) -> None:
    said = {
        "rbd ls": answer(["v1", "splitmirror.run-1.v1"]),
        "rbd info --format json rbd/splitmirror.run-1.v1": image(parent=parent),
    }
    array, host = world(said, show="clone", images=("rbd/v1",))
    for ask in (array.expose, array.unexpose):
        with pytest.raises(Refused, match="not a clone of the copy run-1"):
            ask(COPY, soon())
    assert acts(host) == []


def test_a_device_in_use_is_named_and_kept() -> None:
    mapped = answer([{"pool": "rbd", "name": "v1", "snap": SNAP, "device": "/dev/rbd3"}])
    array, host = world({"rbd device list": mapped}, Answer({"user": "77\tdd\t/dev/rbd3"}, 0, ""))
    with pytest.raises(InUse, match="pid 77"):
        array.unexpose(COPY, soon())
    with pytest.raises(Refused, match="is mapped at /dev/rbd3"):
        array.discard(COPY, soon())
    assert acts(host) == []


def test_a_device_that_stays_is_said() -> None:
    array, host = world(
        {"rbd device list": answer([{"pool": "rbd", "name": "v1", "snap": SNAP, "device": "/dev/rbd3"}])}
    )
    with pytest.raises(UnknownAnswer, match="still mapped at /dev/rbd3"):
        array.unexpose(COPY, soon())
    assert acts(host) == ["rbd device unmap /dev/rbd3"]


def test_nothing_is_removed_along_with_a_copy() -> None:
    array, host = world({"rbd children": answer([{"pool": "rbd", "image": "dev"}])})
    with pytest.raises(Refused, match="has clones: rbd/dev"):
        array.discard(COPY, soon())
    array, more = world({"rbd ls": answer(["splitmirror.run-1.v1"])}, show="clone")
    with pytest.raises(Refused, match=r"splitmirror\.run-1\.v1 is still there"):
        array.discard(COPY, soon())
    assert acts(host) + acts(more) == []


def test_a_snapshot_that_stays_is_said() -> None:
    array, host = world({"rbd snap ls --all": snaps(SNAP, protected="true")}, images=("rbd/v1",))
    with pytest.raises(UnknownAnswer, match="still there"):
        array.discard(COPY, soon())
    assert acts(host) == [
        "rbd snap unprotect rbd/v1@splitmirror.run-1",
        "rbd snap rm --no-progress rbd/v1@splitmirror.run-1",
    ]


def test_a_copy_that_is_gone_is_not_shown_and_is_discarded_already() -> None:
    array, host = world({"rbd snap ls --all": snaps("daily")})
    with pytest.raises(Refused, match="there is no copy"):
        array.expose(COPY, soon())
    array.discard(COPY, soon())
    assert acts(host) == []


def test_no_flag_overrides_a_refusal() -> None:
    lines = []
    for group in ({}, {"show": "clone"}, {"group": "rbd/erp", "show": "clone"}):
        array, _ = world(**group)  # type: ignore[arg-type]
        lines += [f"{action.what} {action.undo}" for move in Move for action in array.actions(move, "erp", "run-1")]
    flags = {word for line in lines for word in line.split() if word.startswith("-")}
    assert flags == {"--no-progress", "--snap-id"}
    assert set(ANSWERS) == {"--no-progress"}
