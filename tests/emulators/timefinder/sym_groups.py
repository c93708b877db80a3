"""Groups and devices: ``symdg``, ``symcg``, ``symld``, ``symbcv`` (associate, list), ``symsg``, ``symcfg``, ``symdev``."""

import parts
import sym_base
import sym_show
import sym_verify
from sym_base import Stop, group_of

LINE = "        " + "-" * 82
DEVICE_HEAD = f"""{LINE}
                                                      Sym  Device                     Cap
        LdevName              PdevName                Dev  Config        Att. Sts     (MB)
{LINE}"""


def run(array, call):
    with array.open() as state:
        actions = {
            "symdg": device_group,
            "symcg": composite,
            "symsg": storage,
            "symcfg": configuration,
            "symdev": device,
        }
        if call.tool in actions:
            actions[call.tool](array, state, call)
        elif call.action == "list":
            members = [sym_base.Member(state, *key.split(":")) for key in state["pairs"]]
            sym_show.bcv_list(state, list(zip(members, sym_verify.seen(array, members), strict=True)))
        else:
            membership(state, call)
    return sym_base.OK


def only(call):
    if len(call.rest) != 1:
        raise Stop(sym_base.FAILED, f"{call.tool} {call.action} wants one name")
    return call.rest[0]


# ---- device groups ----


def device_group(array, state, call):
    if call.action == "list":
        list_groups(state)
    elif call.action == "create":
        name = only(call)
        if name in state["groups"]:
            raise Stop(sym_base.FAILED, f"The device group name '{name}' is in use")
        state["groups"][name] = {"type": call.values.get("-type", "REGULAR").upper(), "std": [], "bcv": []}
    elif call.action == "delete":
        name = only(call)
        if group_of(state, name)["std"] and "-force" not in call.flags:
            raise Stop(sym_base.NEEDS_FORCE, f"The device group '{name}' is not empty: force is needed")
        del state["groups"][name]
    elif call.action == "export":
        group = group_of(state, only(call))
        with open(call.values.get("-f", f"{call.rest[0]}.txt"), "w") as file:
            file.writelines(f"{kind} {ld} {number}\n" for kind in ("std", "bcv") for ld, number in group[kind])
    elif call.action == "addall":
        first, _, last = call.values.get("-devs", "").partition(":")
        for value in range(int(first, 16), int(last or first, 16) + 1):
            add(state, call, "std", "DEV", f"{value:04X}", "")
    else:
        show(state, only(call))


def list_groups(state):
    print("\n                          D E V I C E      G R O U P S\n")
    print("                                                             Number of")
    print("    Name               Type     Valid  Symmetrix ID  Devs   GKs  BCVs  VDEVs  TGTs\n")
    for name, group in state["groups"].items():
        sid = state["settings"]["sid"]
        print(
            f"    {name:<18} {group['type']:<8} Yes    {sid} {len(group['std']):>5}     0 {len(group['bcv']):>5}      0     0"
        )
    print()


def show(state, name):
    group = group_of(state, name)
    print(f"\nGroup Name:  {name}\n")
    for label, value in (
        ("Group Type", group["type"]),
        ("Device Group in GNS", "No"),
        ("Valid", "Yes"),
        ("Symmetrix ID", state["settings"]["sid"]),
        ("Number of STD Devices in Group", f"{len(group['std']):>4}"),
        ("Number of Associated GK's", "   0"),
        ("Number of Locally-associated BCV's", f"{len(group['bcv']):>4}"),
    ):
        print(f"    {label:<45}: {value}")
    for title, kind in (("Standard (STD) Devices", "std"), ("BCV Devices Locally-associated", "bcv")):
        print(f"\n    {title} ({len(group[kind])}):\n        {{\n{DEVICE_HEAD}")
        for ld, number in group[kind]:
            print("        " + device_line(state, ld, number, kind))
        print("        }")


def device_line(state, ld, number, kind):
    one = state["devices"][number]
    path = sym_base.physical(state, number).replace("Not Visible", "N/A")
    status = "NR" if one["link"] and path == "N/A" else "RW"
    size = parts.size_of(one["image"]) // 2**20
    return f"{ld:<21} {path:<23} {number} {'BCV' if kind == 'bcv' else 'RAID-5':<18} {status:<4} {size:>7}"


def membership(state, call):
    """``symld add dev 109C DEV001``, ``symbcv associate dev 109D BCV001``."""
    group = group_of(state, call.values.get("-g", ""))
    kind, prefix = ("std", "DEV") if call.tool == "symld" else ("bcv", "BCV")
    words = [word for word in call.rest if word.lower() != "dev"]
    if not words:
        raise Stop(sym_base.FAILED, f"{call.tool} {call.action} wants a device")
    if call.action in ("remove", "disassociate"):
        group[kind] = [pair for pair in group[kind] if words[0] not in pair]
        return
    add(state, call, kind, prefix, words[0].upper(), words[1] if len(words) > 1 else "")


def add(state, call, kind, prefix, number, ld):
    group = group_of(state, call.values.get("-g", ""))
    if number not in state["devices"]:
        raise Stop(sym_base.FAILED, f"Device {number} is not a device of this array")
    ld = ld or f"{prefix}{len(group[kind]) + 1:03}"
    if any(ld == one or number == device for one, device in group[kind]):
        raise Stop(sym_base.FAILED, f"{number} or {ld} is in the group already")
    group[kind].append([ld, number])


# ---- other groups ----


def composite(array, state, call):
    if call.action == "list":
        print("\n             C O M P O S I T E     G R O U P S\n")
        for name, groups in state["composites"].items():
            count = sum(len(group_of(state, group)["std"]) for group in groups)
            print(f"    {name:<31} REGULAR  Yes {count:>6}")
        return
    name = only(call)
    if call.action == "create":
        state["composites"][name] = []
        return
    if name not in state["composites"]:
        raise Stop(sym_base.FAILED, f"The composite group name '{name}' does not exist")
    print(f"\nComposite Group Name: {name}\n")
    for group in state["composites"][name]:
        for kind in ("std", "bcv"):
            for ld, number in group_of(state, group)[kind]:
                print("        " + device_line(state, ld, number, kind))


def storage(array, state, call):
    names = state["sgs"] if call.action == "list" else [only(call)]
    if missing := [name for name in names if name not in state["sgs"]]:
        raise Stop(sym_base.FAILED, f"The storage group '{missing[0]}' does not exist")
    if call.is_xml:
        sym_show.print_xml(*(storage_xml(state, name, call.action == "show") for name in names))
        return
    for name in names:
        print(f"\nName: {name}\n\nSymmetrix ID                     : {state['settings']['sid']}")
        print(f"\nDevices ({len(state['sgs'][name])}):\n    {{")
        for number in state["sgs"][name]:
            size = parts.size_of(state["devices"][number]["image"]) // 2**20
            print(f"    {number} {sym_base.physical(state, number):<27} TDEV    N/Grp'd      RW {size:>7}")
        print("    }")


def storage_xml(state, name, is_whole):
    numbers = state["sgs"][name]
    info = sym_show.element(
        "SG_Info", sym_show.fields(name=name, symid=state["settings"]["sid"], num_devs=len(numbers))
    )
    if not is_whole:
        return sym_show.element("SG", info)
    listed = [
        sym_show.element(
            "Device",
            sym_show.fields(
                dev_name=number, pd_name=sym_base.physical(state, number), configuration="TDEV", status="Ready"
            ),
        )
        for number in numbers
    ]
    return sym_show.element("SG", info, sym_show.element("DEVS_List", *listed))


def configuration(array, state, call):
    if call.action == "discover":
        print("\nThis operation may take up to a few minutes. Please be patient...\n")
        return
    sid, count = state["settings"]["sid"], len(state["devices"])
    if call.is_xml:
        info = sym_show.element(
            "Symm_Info", sym_show.fields(symid=sid, attachment="Local", model="VMAX-1", devices=count)
        )
        sym_show.print_xml(sym_show.element("Symmetrix", info))
        return
    print("\n                                S Y M M E T R I X\n")
    print("                                       Mcode    Cache      Num Phys  Num Symm")
    print("    SymmID       Attachment  Model     Version  Size (MB)  Devices   Devices\n")
    print(f"    {sid} Local       VMAX-1    5876       28672 {count:>9} {count:>9}\n")


# ---- devices ----


def device(array, state, call):
    if call.action == "show":
        show_device(state, number_of(state, only(call)))
        return
    numbers = list(state["devices"])
    if "-devs" in call.values:
        numbers = [number_of(state, number) for number in call.values["-devs"].split(",")]
    elif "-sg" in call.values:
        if call.values["-sg"] not in state["sgs"]:
            raise Stop(sym_base.FAILED, f"The storage group '{call.values['-sg']}' does not exist")
        numbers = state["sgs"][call.values["-sg"]]
    if call.is_xml:
        listed = [device_xml(array, state, number) for number in numbers]
        sym_show.print_xml(sym_show.element("Symmetrix", *listed))
        return
    print(
        f"\nSymmetrix ID: {state['settings']['sid']}\n\n        Device Name           Directors                  Device"
    )
    line = "--------------------------- ------------- -------------------------------------"
    print(f"{line}\n                                                                           Cap")
    print(f"Sym  Physical               SA :P DA :IT  Config        Attribute    Sts   (MB)\n{line}\n")
    for number in numbers:
        size = parts.size_of(state["devices"][number]["image"]) // 2**20
        print(
            f"{number:<4} {sym_base.physical(state, number):<22} ***:* 07D:CE  RAID-5        N/Grp'd      RW {size:>7}"
        )


def number_of(state, text):
    found = next(
        (number for number in state["devices"] if number.lstrip("0") == text.strip().upper().lstrip("0")), None
    )
    if found is None:
        raise Stop(sym_base.FAILED, f"Device {text} is not a device of this array")
    return found


def show_device(state, number):
    for label, value in (
        ("Device Physical Name", sym_base.physical(state, number)),
        ("Device Symmetrix Name", number),
        ("Device Serial ID", "N/A"),
        ("Symmetrix ID", state["settings"]["sid"]),
        ("Vendor ID", "EMC"),
        ("Product ID", "SYMMETRIX"),
        ("Device WWN", sym_base.wwn_of(state, number)),
        ("Device Status", "Ready           (RW)"),
    ):
        print(f"    {label:<25}: {value}")


def device_xml(array, state, number):
    path, wwn = sym_base.physical(state, number), sym_base.wwn_of(state, number)
    content = [
        sym_show.element("Dev_Info", sym_show.fields(dev_name=number, pd_name=path)),
        sym_show.element("Product", sym_show.fields(wwn=wwn)),
    ]
    members = [sym_base.Member(state, *key.split(":")) for key in state["pairs"] if number in key.split(":")]
    for member, word in zip(members, sym_verify.seen(array, members), strict=True):
        if "flags" in member.pair:
            left, total = sym_show.clone_left(state, member), sym_base.tracks_of(member.pair["primary"])
            devices = [
                sym_show.element(kind, sym_show.fields(dev_name=one))
                for kind, one in (("SRC", member.std), ("TGT", member.bcv))
            ]
            content.append(
                sym_show.element(
                    "CLONE_Device", *devices, sym_show.fields(state=word, percent_copied=100 * (total - left) // total)
                )
            )
        else:
            content.append(sym_show.element("BCV_Pair", sym_show.fields(state=word)))
    return sym_show.element("Device", *content)
