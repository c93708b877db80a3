"""``select``: what Oracle's spelling means, run by SQLite over the views."""

import re
import sqlite3
import time

import ora_machine as m
import ora_views_logs
import ora_views_server
from ora_views import VIEWS, columns_of, rows_of
from ora_words import OraError

EVERY_VIEW = (ora_views_logs, ora_views_server)
"""Loaded for the views they add."""
HASH = "$h"
STAMP = "\x01%Y-%m-%d %H:%M:%S"
"""How a date stands in SQLite: nothing that a text can be."""
DATE = re.compile(r"\x01\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<quoted>"[^"]+")|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<name>[a-z_][\w$#]*(?:\s*\.\s*[a-z_*][\w$#]*)*)|(?P<mark>\|\||<>|!=|<=|>=|[-+*/%(),<>=.]))""",
    re.IGNORECASE,
)
ALWAYS = {"v$instance", "gv$instance", "v$parameter", "v$version", "v$option", "dual", "v$session"}
KEYWORDS = (
    "select from where and or not in like between is null case when then else end group by order having union all"
    " distinct as on join inner left outer cross exists asc desc minus intersect limit escape except"
)
WORDS = set(KEYWORDS.split())


class Rows:
    """A result: headings, declared widths (None: a number, 0: as wide as it is), rows."""

    def __init__(self, headings, widths, rows):
        self.headings, self.widths, self.rows, self.noise = headings, widths, rows, ""


def select(session, sql):
    state = session.store.read()
    tokens = _tokens(re.sub(r"(?is)\b(?:and|where)\s+rownum\s*(<=?|=)\s*(\d+)", _limit, sql))
    views = sorted({word for kind, word in tokens if kind == "name" and word in VIEWS})
    if set(views) - ALWAYS and state["switches"]["suspended-views"] == "wait":
        state = m.wait_for(session.store, lambda state: not session.instance(state)["suspended"])
    if not any(kind == "name" and word == "from" for kind, word in tokens):
        raise OraError(923)
    with session.store.locked() as changed:
        m.archive(changed)
        state = changed
    _need_views(session, state, views)
    return _run(session, state, views, _spell(session, state, tokens))


def _limit(found):
    return f"/*limit {int(found[2]) - (found[1] == '<')}*/"


def _tokens(sql):
    limit = re.search(r"/\*limit (\d+)\*/", sql)
    sql = re.sub(r"/\*.*?\*/", " ", sql, flags=re.DOTALL).strip()
    found, at = [], 0
    while at < len(sql):
        match = TOKEN.match(sql, at)
        if not match:
            raise OraError(911 if sql[at:].lstrip()[0] in ";!?\\@:" else 933)
        at = match.end()
        word = match[match.lastgroup]
        if match.lastgroup == "name":
            word = re.sub(r"\s", "", word).lower()
            word = re.sub(r"^sys\.", "", word).replace("v_$", "v$")
        found.append((match.lastgroup, word))
    return [*found, ("name", "limit"), ("number", limit[1])] if limit else found


def _need_views(session, state, views):
    mode = session.instance(state)["state"]
    for view in views:
        since = VIEWS[view][0]
        if m.major(state) < since or not _may_read(session, view):
            raise OraError(942)
        if mode == "mounted" and not view.startswith(("v$", "gv$")) and view != "dual":
            raise OraError(1219)


def _may_read(session, view):
    return view in ("dual", "session_privs", "global_name", "nls_database_parameters") or session.may(
        "select any dictionary"
    )


# ---- spelling ----


def _spell(session, state, tokens):
    tree, rest = _tree(tokens)
    if rest:
        raise OraError(933)
    return _text(session, state, tree)


def _tree(tokens, inside=False):
    """Parentheses become lists."""
    found = []
    tokens = list(tokens) if not inside else tokens
    while tokens:
        kind, word = tokens.pop(0)
        if word == "(" and kind == "mark":
            found.append(_tree(tokens, inside=True)[0])
        elif word == ")" and kind == "mark":
            return found, tokens if inside else [word]
        else:
            found.append((kind, word))
    if inside:
        raise OraError(933)
    return found, []


def _text(session, state, tree):
    """SQLite's text, with each chain of ``||`` as one call of cat()."""
    parts, at = [], 0
    while at < len(tree):
        piece, at = _primary(session, state, tree, at)
        chain = [piece]
        while at < len(tree) and tree[at] == ("mark", "||"):
            if at + 1 == len(tree):
                raise OraError(933)
            piece, at = _primary(session, state, tree, at + 1)
            chain.append(piece)
        parts.append(chain[0] if len(chain) == 1 else f"cat({', '.join(chain)})")
    return " ".join(parts)


def _primary(session, state, tree, at):
    """One operand, or one mark or word, and where the next begins."""
    one = tree[at]
    if isinstance(one, list):
        return f"({_text(session, state, one)})", at + 1
    kind, word = one
    if one == ("name", "case"):
        last = _end_of_case(tree, at)
        return f"case {_text(session, state, tree[at + 1 : last])} end", last + 1
    if kind == "name" and word not in WORDS and at + 1 < len(tree) and isinstance(tree[at + 1], list):
        return f"{FUNCTIONS.get(word, word)}({_text(session, state, tree[at + 1])})", at + 2
    if kind == "text":
        return word if word != "''" else "null", at + 1
    if kind == "quoted":
        return f"[{word[1:-1].lower().replace('#', HASH)}]", at + 1
    if kind == "name":
        return _name(session, state, word), at + 1
    return word, at + 1


def _end_of_case(tree, at):
    depth = 0
    for number in range(at, len(tree)):
        depth += (tree[number] == ("name", "case")) - (tree[number] == ("name", "end"))
        if depth == 0:
            return number
    raise OraError(933)


FUNCTIONS = {"mod": "ora_mod", "trunc": "ora_trunc"}


def _name(session, state, word):
    if word in ("sysdate", "systimestamp"):
        return f"'{_stamp(m.parts.now(state))}'"
    if word == "user":
        return f"'{session.user.upper()}'"
    if word == "dbms_flashback.get_system_change_number" and m.major(state) >= 9:
        return str(m.scn(state))
    if word == "minus":
        return "except"
    return word.replace("#", HASH)


def _stamp(seconds):
    return time.strftime(STAMP, time.localtime(seconds))


# ---- running ----


def _run(session, state, views, sql):
    data = sqlite3.connect(":memory:")
    widths = {}
    for view in views:
        columns = columns_of(view, m.major(state))
        names = ", ".join(
            f"[{name.replace('#', HASH)}] {'integer' if kind == 'n' else 'text'}" for name, kind in columns
        )
        data.execute(f"create table [{view}] ({names})")
        for row in rows_of(view, session, state):
            values = [_stored(row.get(name), kind) for name, kind in columns]
            data.execute(f"insert into [{view}] values ({','.join('?' * len(values))})", values)
        widths |= {name: None if kind == "n" else 9 if kind == "d" else int(kind) for name, kind in columns}
    _functions(data, session, state)
    try:
        cursor = data.execute(sql)
        rows = cursor.fetchall()
    except sqlite3.Error as exc:
        raise _fault(str(exc)) from exc
    headings = [one[0].replace(HASH, "#").upper() for one in cursor.description]
    headings = [re.sub(r"\s", "", re.sub(r"\bCAT\(", "(", name)) for name in headings]
    return Rows(headings, [widths.get(name.lower(), 0) for name in headings], rows)


def _stored(value, kind):
    if value is None or value == "":
        return None
    return _stamp(value) if kind == "d" else value


def _fault(said):
    if found := re.match(r"no such table: (\S+)", said):
        return OraError(942)
    if found := re.match(r"(?:ambiguous column name|no such (?:column|function)): (\S+)", said):
        names = [f'"{one}"' for one in found[1].replace(HASH, "#").upper().split(".")]
        return OraError(904, ".".join(names))
    return OraError(933)


def _functions(data, session, state):
    def cat(*words):
        return "".join(_char(word) for word in words)

    def to_char(value, form=None, *more):
        if value is None:
            return None
        if isinstance(value, str) and DATE.fullmatch(value):
            return _date(value, form)
        return str(value) if form is None or form.upper().startswith(("FM", "TM")) else f" {value:>{len(form)}}"

    def decode(value, *pairs):
        pairs = list(pairs)
        while len(pairs) > 1:
            key, result = pairs.pop(0), pairs.pop(0)
            if key == value or str(key) == str(value):
                return result
        return pairs[0] if pairs else None

    def sys_context(space, name):
        thread = session.instance(state).get("thread", 1)
        known = {"instance_name": session.sid, "instance": thread, "db_name": state["name"], "isdba": "TRUE"}
        return known.get(name.lower(), "")

    for name, function in {
        "cat": cat,
        "to_char": to_char,
        "decode": decode,
        "sys_context": sys_context,
        "to_number": lambda value, *form: None if value is None else int(str(value).strip()),
        "nvl": lambda value, other: other if value in (None, "") else value,
        "nvl2": lambda value, yes, no: no if value in (None, "") else yes,
        "chr": chr,
        "lpad": lambda value, width, fill=" ": _char(value).rjust(width, fill)[:width],
        "rpad": lambda value, width, fill=" ": _char(value).ljust(width, fill)[:width],
        "greatest": lambda *values: max(values),
        "least": lambda *values: min(values),
        "ora_trunc": lambda value, *how: value[:11] + " 00:00:00" if isinstance(value, str) else int(value),
        "ora_mod": lambda value, by: value % by,
    }.items():
        data.create_function(name, -1, function)


def _char(value):
    if value is None:
        return ""
    return _date(value, None) if isinstance(value, str) and DATE.fullmatch(value) else str(value)


FORMATS = {
    "YYYY": "%Y",
    "HH24": "%H",
    "MON": "%b",
    "DD": "%d",
    "MM": "%m",
    "MI": "%M",
    "SS": "%S",
    "RR": "%y",
    "YY": "%y",
    "DY": "%a",
    "FM": "",
}


def _date(value, form):
    moment = time.strptime(value, STAMP)
    form = re.sub("|".join(FORMATS), lambda found: FORMATS[found[0].upper()], form or "DD-MON-RR", flags=re.IGNORECASE)
    return time.strftime(form.replace('"', ""), moment).upper()
