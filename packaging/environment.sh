#!/bin/sh
# Makes the Python environment that make works in:  packaging/environment.sh FOLDER EXTRA STAMP
#
# FOLDER is made when it is missing or its interpreter is gone; EXTRA names a group of pyproject.toml ("" for what the
# program itself needs); STAMP is touched when all is there. PYTHON names the interpreter to begin with (3.11 or later).
set -eu

folder=${1:?which folder} extra=${2-} stamp=${3:?which stamp}

fail() { # fail LINE...
    printf 'make: %s\n' "$@" >&2
    exit 1
}

is_new_enough() { # is_new_enough COMMAND: a Python 3.11 or later that starts
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 </dev/null
}

# One that can make environments is preferred to one that is only there.
find_python() {
    fallback=
    for one in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14 /usr/bin/python3}; do
        is_new_enough "$one" || continue
        if "$one" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            printf '%s\n' "$one"
            return 0
        fi
        fallback=${fallback:-$one}
    done
    [ -z "$fallback" ] || printf '%s\n' "$fallback"
}

make_folder() {
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or later is needed, and is not on PATH" \
        "install it (Debian 12: apt install python3 python3-venv), or say where it is: make PYTHON=/path/to/python3.11"
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        "$python" -m venv --clear "$folder" || fail "$python -m venv could not make $folder"
    elif "$python" -c 'import pip, venv' >/dev/null 2>&1; then
        # Debian's python3 without python3-venv, but with python3-pip: that pip fills the environment from outside
        "$python" -m venv --clear --without-pip "$folder" || fail "$python -m venv could not make $folder"
        "$python" -m pip --python "$folder/bin/python" install -qq pip || fail "pip could not be put into $folder"
    else
        fail "$python has neither ensurepip nor pip, so it can make no environment of its own" \
            "on Debian and Ubuntu: apt install python3-venv; or name another one: make PYTHON=/path/to/python3.11"
    fi
}

is_usable() { # is_usable FOLDER: an environment that is there and can be filled
    is_new_enough "$1/bin/python" && "$1/bin/python" -m pip --version >/dev/null 2>&1
}

is_usable "$folder" || make_folder
what=.${extra:+[$extra]}
echo "setting up $folder for $what"
"$folder/bin/python" -m pip --disable-pip-version-check install -qq --no-input --editable "$what" ||
    fail "pip could not install what $what needs; its reason stands above"
: >"$stamp"
