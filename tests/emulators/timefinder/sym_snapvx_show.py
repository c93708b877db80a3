"""How ``symsnapvx list`` looks."""

import sym_show


def show(state, call, rows):
    if call.is_xml:
        root = "SG" if {"-sg", "-lnsg"} & set(call.values) else "Symmetrix"
        info = sym_show.element("Symm_Info", sym_show.fields(symid=state["settings"]["sid"], microcode_version="5978"))
        snapshots = [sym_show.element("Snapshot", sym_show.fields(**row)) for row in rows]
        sym_show.print_xml(sym_show.element(root, info, sym_show.element("Snapvx", *snapshots)))
        return
    group = call.values.get("-sg") or call.values.get("-lnsg")
    name = f"Storage Group (SG) Name   : {group}\n" if group else ""
    print(f"\n{name}SG's Symmetrix ID         : {state['settings']['sid']}   (Microcode Version: 5978)\n")
    if "-linked" in call.flags or "-lnsg" in call.values:
        print(
            "Sym                                        Link  Flgs\nDev   Snapshot Name                    Gen Dev   CD Snapshot Timestamp"
        )
        print("----- -------------------------------- --- ----- ---- ------------------------")
        for row in rows:
            flags = ("X" if row["copied"] == "Yes" else ".") + ("X" if row["defined"] == "Yes" else ".")
            print(
                f"{row['source']} {row['snapshot_name']:<32} {row['generation']:>3} {row['link']} {flags}   {row['last_timestamp']}"
            )
        return
    print(
        "Sym                                    Num  Flags\nDev   Snapshot Name                    Gens FLRG TS Last Snapshot Timestamp"
    )
    print("----- -------------------------------- ---- ------- ------------------------")
    for row in rows:
        flags = ("X" if row["failed"] != "No" else ".") + ("X" if row["link"] == "Yes" else ".") + ".. .."
        count = row.get("generation", row["num_generations"])
        print(f"{row['source']} {row['snapshot_name']:<32} {count:>4} {flags} {row['last_timestamp']}")
