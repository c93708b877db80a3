"""The command line of `rbd`: which command it is, its options, and the names in it."""

import errno

from rbd_cluster import Stop

COMMANDS = {
    "snap create": "snap-create",
    "snap add": "snap-create",
    "snap list": "snap-ls",
    "snap ls": "snap-ls",
    "snap remove": "snap-rm",
    "snap rm": "snap-rm",
    "snap protect": "snap-protect",
    "snap unprotect": "snap-unprotect",
    "snap rollback": "snap-rollback",
    "snap revert": "snap-rollback",
    "snap purge": "snap-purge",
    "group create": "group-create",
    "group list": "group-ls",
    "group ls": "group-ls",
    "group remove": "group-rm",
    "group rm": "group-rm",
    "group image add": "group-image-add",
    "group image list": "group-image-ls",
    "group image ls": "group-image-ls",
    "group image remove": "group-image-rm",
    "group image rm": "group-image-rm",
    "group snap create": "group-snap-create",
    "group snap list": "group-snap-ls",
    "group snap ls": "group-snap-ls",
    "group snap info": "group-snap-info",
    "group snap remove": "group-snap-rm",
    "group snap rm": "group-snap-rm",
    "clone": "clone",
    "children": "children",
    "flatten": "flatten",
    "device map": "map",
    "map": "map",
    "device unmap": "unmap",
    "unmap": "unmap",
    "device list": "device-list",
    "device ls": "device-list",
    "showmapped": "device-list",
    "disk-usage": "du",
    "du": "du",
    "info": "info",
    "list": "ls",
    "ls": "ls",
    "remove": "rm",
    "rm": "rm",
    "status": "status",
    "trash list": "trash-ls",
    "trash ls": "trash-ls",
}
VALUED = {
    "-p": "pool",
    "--pool": "pool",
    "--image": "image",
    "--snap": "snap",
    "--group": "group",
    "--group-pool": "group-pool",
    "--image-pool": "image-pool",
    "--dest": "dest",
    "--dest-pool": "dest-pool",
    "--snap-id": "snap-id",
    "--format": "format",
    "-o": "options",
    "--options": "options",
    "-t": "device-type",
    "--device-type": "device-type",
    "--image-feature": "image-feature",
    "--object-size": "object-size",
    "--order": "order",
    "--id": "id",
    "-n": "name",
    "--name": "name",
    "-c": "conf",
    "--conf": "conf",
    "--cluster": "cluster",
    "-m": "mon",
    "-k": "keyring",
    "--keyring": "keyring",
    "--keyfile": "keyfile",
    "--namespace": "namespace",
}
PLAIN = {
    "--no-progress": "no-progress",
    "--pretty-format": "pretty",
    "--read-only": "read-only",
    "--exclusive": "exclusive",
    "--force": "force",
    "--all": "all",
    "-a": "all",
    "-l": "long",
    "--long": "long",
    "--image-shared": "image-shared",
    "--merge-snapshots": "merge",
    "--skip-quiesce": "skip-quiesce",
    "--ignore-quiesce-error": "ignore-quiesce-error",
}


def parse(argv):
    """(command, options, positional words). Raises Stop."""
    options, words, left = {}, [], list(argv)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name in VALUED and word.startswith("-"):
            if not equals:
                if not left:
                    raise Stop(1, f"rbd: the required argument for option '{name}' is missing")
                value = left.pop(0)
            options[VALUED[name]] = value
        elif word in PLAIN:
            options[PLAIN[word]] = True
        elif word.startswith("-"):
            raise Stop(1, f"rbd: unrecognised option '{word}'")
        else:
            words.append(word)
    for length in (3, 2, 1):
        command = COMMANDS.get(" ".join(words[:length]))
        if command and len(words) >= length:
            return command, options, words[length:]
    if not words:
        raise Stop(1, "usage: rbd <command> ...")
    raise Stop(1, f"error: unknown option '{' '.join(words)}'")


def spec(options, words, of="image", prefix=""):
    """(POOL/NAME, snapshot or "") from the next positional word, or from options."""
    pool = options.get(f"{prefix}{of}-pool") or options.get(f"{prefix}pool") or options.get("pool") or "rbd"
    name, snap = options.get("dest" if prefix == "dest-" else of, ""), options.get("snap", "") if not prefix else ""
    if not name:
        if not words:
            raise Stop(errno.EINVAL, f"rbd: {of} name was not specified")
        word = words.pop(0)
        word, at, after = word.partition("@")
        snap = after if at else snap
        pieces = word.split("/")
        if len(pieces) > 2:
            raise Stop(errno.EINVAL, "emulator: namespaces are not modelled")
        name = pieces[-1]
        pool = pieces[0] if len(pieces) == 2 else pool
    if not name:
        raise Stop(errno.EINVAL, f"rbd: invalid spec '{name}'")
    return f"{pool}/{name}", snap


def without_snap(found):
    if found[1]:
        raise Stop(errno.EINVAL, "rbd: snapshot name specified for a command that doesn't use it")
    return found[0]


def with_snap(found):
    if not found[1]:
        raise Stop(errno.EINVAL, "rbd: snap name was not specified")
    return found


def done(words):
    if words:
        raise Stop(errno.EINVAL, f"rbd: too many arguments: {' '.join(words)}")
