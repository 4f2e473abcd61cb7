# What the deployment scripts share. Sourced by them, never run.
# shellcheck shell=bash
#
# Exit codes: 0 done, 1 tried and failed, 2 could not begin (an option, a command, a login, a right).

caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

complain() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
failed() { complain "$@"; exit 1; }
cannot_begin() { complain "$@"; exit 2; }

# A script's help is the comment at its top.
help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
unknown_option() { cannot_begin "there is no option $1; --help tells those that there are"; }

# The value of the option that is first of these arguments.
value() {
  [[ $# -ge 2 && -n $2 ]] || cannot_begin "the option $1 needs a value"
  printf '%s' "$2"
}

# The same for a path, which is meant from where the script was called.
path() {
  local path
  path=$(value "$@") || exit
  [[ $path == /* ]] || path=$caller/$path
  printf '%s' "$path"
}

need() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || cannot_begin "the command $tool is needed and not installed"
  done
}

# Whether a version is this one or newer. Arguments: the version, this one.
is_at_least() {
  [[ $(printf '%s\n' "$1" "$2" | sort --version-sort | tail -n 1) == "$1" ]]
}

# The resource group: the one that is given, or the environment's by its name. Arguments: that one, the environment.
resource_group() {
  [[ -n $1$2 ]] || cannot_begin "say where: --environment NAME, or --resource-group GROUP"
  printf '%s' "${1:-rg-devicestate-$2}"
}
