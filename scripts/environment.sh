# Sourced by the other scripts: makes .venv with what the project needs, once per change of it.
# Usage: prepare_environment EXTRAS   (EXTRAS: "" or "[dev]")

find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Vivavoce needs Python 3.11 or newer, and found none. Install it, then run this again." >&2
    return 1
}

prepare_environment() {
    local extras=$1 python stamp
    stamp=.venv/.installed-$(cat pyproject.toml <(echo "$extras") | cksum | cut -d' ' -f1)
    [ -e "$stamp" ] && return
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python)
        echo "Making .venv with $("$python" --version) …" >&2
        "$python" -m venv .venv || {
            echo "Making .venv failed. On Debian and Ubuntu: apt install python3-venv" >&2
            return 1
        }
    fi
    echo "Installing what Vivavoce needs (a minute or two, once) …" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=24.1'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extras"
    touch "$stamp"
}
