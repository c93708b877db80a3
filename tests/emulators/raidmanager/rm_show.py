"""What ``pairdisplay`` and ``raidqry`` print."""

PORT = "CL1-A-0"


def rows(state, view, remote, devices, options):
    """One dictionary for each line: the local volume of a device, and the remote one unless ``-l`` is given."""
    found = []
    for device, partner in zip(devices, remote or [None] * len(devices), strict=True):
        mus = range(3) if options["all_mirrors"] else [device["mu"]]
        found += [_row(state, view, device, "L", mu) for mu in mus]
        if partner is not None:
            found.append(_row(state, view, partner, "R", partner["mu"]))
    return found


def _row(state, view, device, side, mu):
    ldev = device["ldev"]
    pair = view.find(ldev, mu)
    is_primary = pair is not None and pair["p"] == ldev
    words = view.words(pair)
    status = words[0] if is_primary else words[1]
    partner = None if pair is None else pair["s"] if is_primary else pair["p"]
    return {
        "group": device["group"] if mu == device["mu"] else "-------",
        "name": device["name"],
        "side": side,
        "lun": int(state["ldevs"][str(ldev)]["lun"]),
        "mu": mu,
        "serial": device["serial"],
        "ldev": ldev,
        "file": state["ldevs"][str(ldev)]["path"],
        "is_paired": pair is not None,
        "role": "SMPL" if pair is None else "P-VOL" if is_primary else "S-VOL",
        "status": status,
        "partner": partner,
        "percent": view.percent(pair),
        "ctg": "-" if pair is None or pair.get("ctg") is None else pair["ctg"],
        "mode": "W" if is_primary and status == "PSUS" else "-",
    }


def cli(rows, options, is_remote_copy):
    """``-CLI``: fields divided by blanks, one header."""
    is_file, is_percent, is_more = "d" in options["f"], "c" in options["f"], "e" in options["f"]
    header = ["Group", "PairVol", "L/R"]
    header += ["Device_File"] if is_file else ["Port#", "TID", "LU" if is_remote_copy else "LU-M"]
    header += ["Seq#", "LDEV#", "P/S", "Status"]
    header += ["Fence"] if is_remote_copy else []
    header += ["%" if is_percent else "Seq#", "P-LDEV#", "M"]
    header += ["CTG", "CM", "EM", "E-Seq#", "E-LDEV#"] if is_more else []
    lines = [header]
    for row in rows:
        place = [row["file"]] if is_file else [PORT, "0", str(row["lun"])]
        if not is_file and not is_remote_copy:
            place.append(str(row["mu"]))
        fields = [
            row["group"],
            row["name"],
            row["side"],
            *place,
            row["serial"],
            number(row["ldev"], options),
            row["role"],
        ]
        fields.append(row["status"] if row["is_paired"] else "-")
        fields += (["NEVER" if row["is_paired"] else "-"]) if is_remote_copy else []
        last = row["serial"] if row["is_paired"] and row["role"] == "P-VOL" else "-"
        fields.append(str(row["percent"]) if is_percent else last)
        fields += [number(row["partner"], options) if row["is_paired"] else "-", row["mode"]]
        fields += [str(row["ctg"]), "-", "-", "-", "-"] if is_more else []
        lines.append(fields)
    return "\n".join(" ".join(fields) for fields in aligned(lines))


def aligned(lines):
    """The first three columns stand under each other; what comes after is what it is."""
    widths = [max(len(line[n]) for line in lines) for n in range(3)]
    return [[*(line[n].ljust(widths[n]) for n in range(3)), *line[3:]] for line in lines]


def table(rows, options, is_remote_copy):
    """The layout for people."""
    is_file, is_percent, is_more = "d" in options["f"], "c" in options["f"], "e" in options["f"]
    place = "Device_File           " if is_file else f"(Port#,TID, LU{'' if is_remote_copy else '-M'}) "
    tail = "  % ,P-LDEV# M" if is_percent else "Seq#,P-LDEV# M"
    fence = "Fence," if is_remote_copy else ""
    more = " CTG CM EM E-Seq# E-LDEV#" if is_more else ""
    header = f"Group   PairVol(L/R) {place},Seq#,LDEV#.P/S,Status,{fence} {tail}{more}"
    lines = [_line(row, options, is_remote_copy, is_file, is_percent) for row in rows]
    lines = [f"{line} {row['ctg']} - - - -" if is_more else line for line, row in zip(lines, rows, strict=True)]
    return "\n".join([header, *lines])


def _line(row, options, is_remote_copy, is_file, is_percent):
    unit = f"{row['lun']:3}" if is_remote_copy else f"{row['lun']:3}-{row['mu']}"
    place = f"{row['file']} " if is_file else f"({PORT}, 0, {unit} )"
    start = f"{row['group']:7} {row['name']}({row['side']}) {place}{row['serial']} {number(row['ldev'], options):>5}"
    if not row["is_paired"]:
        return f"{start}.SMPL  ----,{'-----,' if is_remote_copy else ''}----- ---- -"
    fence = "NEVER ," if is_remote_copy else ""
    last = f"{row['percent']:5}" if is_percent else row["serial"] if row["role"] == "P-VOL" else "-----"
    return f"{start}.{row['role']} {row['status']},{fence}{last} {number(row['partner'], options):>7} {row['mode']}"


def number(ldev, options):
    return f"{ldev:04X}" if "x" in options["f"] else str(ldev)
