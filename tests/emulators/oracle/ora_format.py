"""How SQL*Plus prints a result: columns, wrapped lines, headings, feedback."""

import time

from ora_query import DATE, STAMP


class Settings(dict):
    """What ``set`` has set; the defaults of a new client."""

    def __init__(self):
        super().__init__(
            pagesize=14, linesize=80, numwidth=10, feedback=6, heading=True, define=True, recsep=True, underline=True
        )
        self["wrap"], self["colsep"], self["verify"], self["echo"], self["sqlblanklines"] = (
            True,
            " ",
            True,
            False,
            False,
        )
        self.columns = {}


def table(rows, settings):
    """All lines of a result, its feedback included."""
    widths = [_width(rows, number, settings) for number in range(len(rows.headings))]
    body = [_record(row, rows, widths, settings) for row in rows.rows]
    lines, on_page = [], 0
    for record in body:
        if settings["pagesize"] and (not lines or on_page + len(record) > settings["pagesize"]):
            head = _head(rows, widths, settings)
            lines += ["", *head]
            on_page = len(head) + 1
        lines += record
        on_page += len(record)
    if settings["pagesize"] and body:
        lines.append("")
    return lines + _feedback(len(body), settings) + ([rows.noise] if rows.noise else [])


def _feedback(count, settings):
    if not settings["feedback"]:
        return []
    if not count:
        return ["", "no rows selected", ""]
    if count < settings["feedback"]:
        return []
    word = "row" if count == 1 else "rows"
    return [*([] if settings["pagesize"] else [""]), f"{count} {word} selected.", ""]


def _width(rows, number, settings):
    heading, declared = rows.headings[number], rows.widths[number]
    if heading.lower() in settings.columns:
        return settings.columns[heading.lower()]
    values = [row[number] for row in rows.rows]
    if declared is None or (declared == 0 and any(isinstance(value, int | float) for value in values)):
        return max(settings["numwidth"], len(heading))
    if declared == 0 or declared == 9:
        return max([1, *(len(_shown(value, settings)) for value in values)])
    return min(declared, settings["linesize"])


def _shown(value, settings):
    if value is None:
        return ""
    if isinstance(value, int | float):
        text = str(value)
        return text if len(text) <= settings["numwidth"] else f"{value:.4E}"
    if DATE.fullmatch(value):
        return time.strftime("%d-%b-%y", time.strptime(value, STAMP)).upper()
    return value


def _record(row, rows, widths, settings):
    cells = []
    for number, value in enumerate(row):
        text = _shown(value, settings)
        is_number = rows.widths[number] is None or isinstance(value, int | float)
        cells.append(text.rjust(widths[number]) if is_number else text.ljust(widths[number]))
    lines = _fold(cells, settings)
    return [*lines, ""] if len(lines) > 1 and settings["recsep"] else lines


def _fold(cells, settings):
    """Cells beside each other as far as they fit; one that is longer than the line goes on below."""
    lines, line, limit = [], "", settings["linesize"]
    for cell in cells:
        cell = cell if len(cell) <= limit else cell.rstrip()
        if line and len(line) + 1 + len(cell) > limit:
            lines.append(line)
            line = ""
        line = f"{line}{settings['colsep']}{cell}" if line else cell
        while len(line) > limit:
            lines.append(line[:limit])
            line = line[limit:] if settings["wrap"] else ""
    return [one.rstrip() for one in [*lines, line]]


def _head(rows, widths, settings):
    if not settings["heading"]:
        return []
    names = [
        name.rjust(width) if rows.widths[number] is None else name[:width].ljust(width)
        for number, (name, width) in enumerate(zip(rows.headings, widths, strict=True))
    ]
    return [*_fold(names, settings), *_fold(["-" * width for width in widths], settings)]
