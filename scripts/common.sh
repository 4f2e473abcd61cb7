# Functions of the deployment scripts, which source this file.
# shellcheck shell=bash
#
# Exit codes: 0 done, 1 tried and failed, 2 could not start (an option, a command, a login, a permission).

caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

report_error() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
failed() { report_error "$@"; exit 1; }
cannot_start() { report_error "$@"; exit 2; }

# A script's help is the comment at its top.
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
unknown_option() { cannot_start "unknown option $1; run with --help to list the options"; }

# Prints the value of the option that is the first argument.
value() {
  [[ $# -ge 2 && -n $2 ]] || cannot_start "the option $1 needs a value"
  printf '%s' "$2"
}

# Like value, for a path relative to the caller's directory.
path() {
  local path
  path=$(value "$@") || exit
  [[ $path == /* ]] || path=$caller/$path
  printf '%s' "$path"
}

need() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || cannot_start "the command $tool is required but not installed: install it, and check PATH"
  done
}

# Succeeds if a version is at least another one. Arguments: the version, the other one.
is_at_least() {
  [[ $(printf '%s\n' "$1" "$2" | sort --version-sort | tail -n 1) == "$1" ]]
}

# Prints the resource group: the given one, or the environment's. Arguments: resource group, environment.
resource_group() {
  [[ -n $1$2 ]] || cannot_start "missing option: --environment NAME or --resource-group GROUP"
  printf '%s' "${1:-rg-devicestate-$2}"
}
