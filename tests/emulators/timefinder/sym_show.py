"""The tools' tables and XML."""

import parts
import sym_base

MIRROR_HEAD = """
     Standard Device                    BCV Device                  State
-------------------------- ------------------------------------- ------------
                    Inv.                                  Inv.
Logical        Sym  Tracks Logical              Sym       Tracks STD <=> BCV
-------------------------- ------------------------------------- ------------
"""
PERCENT_HEAD = """
     Standard Device                    BCV Device                  State
-------------------------- ------------------------------------- ----------------
                    Inv.                                  Inv.
Logical        Sym  Tracks Logical              Sym       Tracks STD <=> BCV  (%)
-------------------------- ------------------------------------- ----------------
"""
MIRROR_FOOT = """
Legend:

(*): The paired BCV device is associated with this group.
"""
LIST_HEAD = """
Symmetrix ID: {sid}

  Standard Device       BCV Device              State
-------------------- ----------------------- --------------
           Invalid             Invalid   GBE
Sym        Tracks     Sym      Tracks         STD <=> BCV
-------------------- ----------------------- --------------"""
CLONE_HEAD = """

         Source Device                   Target Device            State     Copy
--------------------------------- ---------------------------- ------------ ----
               Protected Modified                Modified
Logical   Sym  Tracks    Tracks   Logical   Sym  Tracks   CGDP SRC <=> TGT  (%)
--------------------------------- ---------------------------- ------------ ----"""
TRACKS_A_MB = 32


def head(state, call):
    """Which group this is about."""
    sid = state["settings"]["sid"]
    if "-cg" in call.values:
        return f"\nComposite Group (CG) Name: {call.values['-cg']}\nCG's Type               : REGULAR\nCG's Symmetrix ID       : {sid}"
    if "-f" in call.values:
        return f"\nDevice File Name      : {call.values['-f']}\nDevice's Symmetrix ID : {sid}"
    kind = state["groups"][call.values["-g"]]["type"]
    return (
        f"\nDevice Group (DG) Name: {call.values['-g']}\nDG's Type             : {kind}\nDG's Symmetrix ID     : {sid}"
    )


def invalid(member, word):
    """Tracks still to be copied to the BCV."""
    return parts.left(member.pair) * sym_base.TRACKS_A_BLOCK if word == "SyncInProg" else 0


def mirror_query(state, call, rows):
    has_percent = "-percent" in call.flags
    print(head(state, call))
    print(PERCENT_HEAD if has_percent else MIRROR_HEAD)
    total = 0
    for member, word in rows:
        left = invalid(member, word)
        total += left
        percent = f" {parts.percent(member.pair) if word == 'SyncInProg' else 100:3}" if has_percent else ""
        mark = " " if "-f" in call.values else "*"
        line = f"{member.std_ld:<14} {member.std:<4} {0:>6} {member.bcv_ld:<20} {member.bcv:<4} {mark} {left:>9} {word:<12}"
        print((line + percent).rstrip())
    print(f"\nTotal              -------                               -------\n  Track(s)         {0:>7}{total:>38}")
    print(f"  MB(s)            {0.0:>7.1f}{total / TRACKS_A_MB:>38.1f}")
    print(MIRROR_FOOT)


def mirror_list(state, rows):
    print(LIST_HEAD.format(sid=state["settings"]["sid"]))
    total = 0
    for member, word in rows:
        left = invalid(member, word)
        total += left
        print(f"{member.std:<4}         {0:>7} {member.bcv:<4}     {left:>8}   ..X {word}")
    print(f"\nTotal       --------          --------\n  Tracks    {0:>8}{total:>18}")
    print(f"  MB(s)     {0.0:>8.1f}{total / TRACKS_A_MB:>18.1f}\n")


def bcv_list(state, rows):
    print(f"\nSymmetrix ID: {state['settings']['sid']}")
    print("              BCV Device                   Standard Device          Status")
    line = "------------------------------------ --------------------------- ------------"
    print(f"{line}\n                              Inv.                        Inv.")
    print(f"Physical         Sym RDF Att. Tracks Physical        Sym  Tracks BCV <=> STD\n{line}")
    for member, word in rows:
        std = ("N/A", "N/A") if word == "NeverEstab" else (sym_base.physical(state, member.std), member.std)
        left = invalid(member, word)
        print(
            f"{sym_base.physical(state, member.bcv):<16} {member.bcv:<4}         {left:>7} {std[0]:<15} {std[1]:<4} {0:>6} {word}"
        )
    print()


def clone_query(state, call, rows):
    print(head(state, call))
    print(CLONE_HEAD)
    protected = 0
    for member, word in rows:
        left = clone_left(state, member)
        protected += left
        total = sym_base.tracks_of(member.pair["primary"])
        percent = 100 * (total - left) // total if word != "Created" else 0
        flags = (
            ("X" if "copy" in member.pair["flags"] else ".") + "." + ("X" if "diff" in member.pair["flags"] else ".")
        )
        print(
            f"{member.std_ld:<9} {member.std:<4} {left:>9} {0:>8} {member.bcv_ld:<9} {member.bcv:<4} {0:>8} {flags}. {word:<12} {percent:>3}"
        )
    print(
        f"\nTotal           -------- --------                --------\n  Track(s)      {protected:>8}        0                       0"
    )
    print(f"  MB(s)         {protected / TRACKS_A_MB:>8.1f}      0.0                     0.0\n")


def clone_left(state, member):
    """Tracks of a session that are not copied yet."""
    pair, word = member.pair, member.pair["word"]
    if word == "CopyInProg":
        rate = state["settings"]["rate"]
        return int(max(0.0, pair["until"] - parts.now(state)) * rate) * sym_base.TRACKS_A_BLOCK
    if word in ("Created", "CopyOnWrite"):
        return sym_base.tracks_of(pair["primary"])
    return parts.left(pair) * sym_base.TRACKS_A_BLOCK


# ---- XML ----


def element(name, *content, depth=0):
    """Lines of one element: of text, or of elements (each a list of lines)."""
    if len(content) == 1 and isinstance(content[0], str):
        return [f"<{name}>{content[0]}</{name}>"]
    return [f"<{name}>", *("  " + line for one in content for line in one), f"</{name}>"]


def fields(**pairs):
    return [f"<{name}>{value}</{name}>" for name, value in pairs.items()]


def print_xml(*content):
    print('<?xml version="1.0" standalone="yes" ?>')
    print("\n".join(element("SymCLI_ML", *content)))


def mirror_xml(state, call, rows):
    info = element("DG_Info", fields(name=call.values.get("-g", ""), symid=state["settings"]["sid"]))
    pairs = [
        element(
            "BCV_Pair",
            element("STD", fields(dev_name=m.std, ld_name=m.std_ld, invalid_tracks=0)),
            element("BCV", fields(dev_name=m.bcv, ld_name=m.bcv_ld, invalid_tracks=invalid(m, word))),
            fields(state=word),
        )
        for m, word in rows
    ]
    print_xml(element("DG", info, *pairs))
