# Checks what a tier of tests requires besides Rust. A tier sources this first, so that it fails at its start with a clear
# error. `.ci/setup` installs everything.

missing() {
  printf '%s: %s: install %s, or run .ci/setup\n' "$(basename "$0")" "$1" "$2" >&2
  exit 2
}

# needs COMMAND WHAT: ends the tier if the command is missing.
needs() {
  command -v "$1" >/dev/null || missing "the command $1 is missing" "$2"
}

# Sets CHROMIUM to the path of the browser.
needs_chromium() {
  CHROMIUM=$(command -v "${CHROMIUM:-chromium}" || command -v google-chrome) ||
    missing "Chromium is missing" "it or Google Chrome, and set CHROMIUM if the command has another name"
  export CHROMIUM
}

needs_node() {
  needs node "Node.js 18 or newer"
  needs npm "Node.js 18 or newer"
  node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' || missing "Node.js $(node --version) is too old" "18 or newer"
}

needs_pip() {
  python3 -m pip --version >/dev/null 2>&1 || missing "python3 with pip is missing" python3-pip
}

needs_python() {
  needs python3 "Python 3.11 or newer"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || missing "$(python3 --version) is too old" "3.11 or newer"
}
