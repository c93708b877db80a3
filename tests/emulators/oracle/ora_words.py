"""Oracle's numbers and words."""

TEXTS = {
    600: "internal error code, arguments: [kcbgtcr_1], [], [], [], [], [], [], []",
    900: "invalid SQL statement",
    904: "{}: invalid identifier",
    911: "invalid character",
    922: "missing or invalid option",
    923: "FROM keyword not found where expected",
    933: "SQL command not properly ended",
    942: "table or view does not exist",
    959: "tablespace '{}' does not exist",
    1005: "null password given; logon denied",
    1017: "invalid username/password; logon denied",
    1031: "insufficient privileges",
    1033: "ORACLE initialization or shutdown in progress",
    1034: "ORACLE not available",
    1081: "cannot start already-running ORACLE - shut it down first",
    1100: "database already mounted",
    1109: "database not open",
    1110: "data file {}: '{}'",
    1113: "file {} needs media recovery",
    1123: "cannot start online backup; media recovery not enabled",
    1126: "database must be mounted in this instance and not open in any instance",
    1128: "cannot start online backup - file {} is offline",
    1140: "cannot end online backup - all files are offline or readonly",
    1142: "cannot end online backup - none of the files are in backup",
    1146: "cannot start online backup - file {} is already in backup",
    1149: "cannot shutdown - file {} has online backup set",
    1154: "database busy. Open, close, mount, and dismount not allowed now",
    1157: "cannot identify/lock data file {} - see DBWR trace file",
    1219: "database not open: queries allowed on fixed tables/views only",
    1253: "cannot start online backup - file {} in recovery manager backup",
    1254: "cannot end online backup - file {} in recovery manager backup",
    1507: "database not mounted",
    1516: 'nonexistent log file, data file, or temporary file "{}"',
    1531: "a database already open by the instance",
    1536: "space quota exceeded for tablespace 'USERS'",
    1580: "error creating control backup file {}",
    1642: "begin backup not needed for read-only tablespace '{}'",
    2231: "missing or invalid option to ALTER DATABASE",
    3113: "end-of-file on communication channel",
    3114: "not connected to ORACLE",
    3217: "invalid option for alter of TEMPORARY TABLESPACE",
    6550: "line 1, column 7:\nPLS-00201: identifier must be declared",
    9275: "CONNECT INTERNAL is not a valid DBA connection",
    12154: "TNS:could not resolve the connect identifier specified",
    12162: "TNS:net service name is incorrectly specified",
    27037: "unable to obtain file status",
    27038: "created file already exists",
    27040: "file create error, unable to create file",
    28002: "the password will expire within 7 days",
}
TEN = {
    "old": "file {} needs end backup before opening a database",
    "new": "file {} needs to be either taken out of backup mode or media recovered",
}

VERSIONS = {
    "8i": (8, "8.1.7.4.0"),
    "9i": (9, "9.2.0.8.0"),
    "10g": (10, "10.2.0.5.0"),
    "11g": (11, "11.2.0.4.0"),
    "12c": (12, "12.1.0.2.0"),
    "12.2": (12.2, "12.2.0.1.0"),
    "18c": (18, "18.0.0.0.0"),
    "19c": (19, "19.0.0.0.0"),
}

GERMAN = {
    "Database altered.": "Datenbank wurde geändert.",
    "Tablespace altered.": "Tablespace wurde geändert.",
    "System altered.": "System wurde geändert.",
    "Session altered.": "Session wurde geändert.",
    "ERROR at line 1:": "FEHLER in Zeile 1:",
    "ERROR:": "FEHLER:",
}


class OraError(Exception):
    """An ORA- error, with those that stand below it: ``OraError(1146, 1, below=[(1110, 1, "/path")])``."""

    def __init__(self, code, *words, below=(), text=None, loses_session=False):
        super().__init__(code)
        self.code, self.loses_session = code, loses_session
        self.lines = [(code, words, text), *((number, rest, None) for number, *rest in below)]

    def render(self, language="american"):
        return "\n".join(f"ORA-{code:05d}: {_text(code, words, text, language)}" for code, words, text in self.lines)


def _text(code, words, text, language):
    if text is None:
        text = TEXTS.get(code, f"message {code} not found; product=RDBMS; facility=ORA").format(*words, *"1??")
    if language == "german" and code != 1110:
        return "Meldung auf Deutsch" + "".join(f" {word}" for word in words)
    return text


def said(text, language):
    """Feedback in the client's language."""
    return GERMAN.get(text, text) if language == "german" else text
