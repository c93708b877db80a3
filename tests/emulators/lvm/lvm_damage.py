"""What is wrong in a leg without anybody's knowing, and how it lives on."""

import parts


def still_damaged(volume):
    """Blocks of the copy that are wrong without anybody's knowing, and that the primary has not written anew."""
    damaged = volume.get("damaged") or {}
    if not damaged:
        return []
    now = parts.digests(volume["image"])
    return [int(n) for n, digest in damaged.items() if int(n) < len(now) and now[int(n)] == digest]


def note_damage(volume):
    """After a merge: what is not due and differs all the same."""
    primary, copy = parts.digests(volume["image"]), parts.digests(volume["copy"])
    due = set(volume["pair"]["due"])
    wrong = {n for n in range(len(primary)) if n not in due and (n >= len(copy) or copy[n] != primary[n])}
    volume["damaged"] = {str(n): primary[n] for n in sorted(wrong)}


def take(volume, half_way):
    """Make the copy what the leg really holds at this moment. Whether the primary stood still."""
    wrong = still_damaged(volume)
    kept = {n: block(volume["copy"], n) for n in wrong}
    if not parts.take([volume["pair"]], half_way):
        return False
    for n, data in kept.items():
        with open(volume["copy"], "r+b", buffering=0) as file:
            file.seek(n * parts.BLOCK)
            file.write(data)
    volume["pair"]["base"] = parts.digests(volume["copy"])
    volume["damaged"] = {n: digest for n, digest in (volume.get("damaged") or {}).items() if int(n) in wrong}
    return True


def block(path, number):
    with open(path, "rb", buffering=0) as file:
        file.seek(number * parts.BLOCK)
        return file.read(parts.BLOCK)


def mend(volume):
    for n in still_damaged(volume):
        with open(volume["copy"], "r+b", buffering=0) as file:
            file.seek(n * parts.BLOCK)
            file.write(block(volume["image"], n))
    volume["damaged"] = {}
