#!/usr/bin/env bash
# Writes or checks the third-party notices of the package. See --help.
set -euo pipefail

# The version that wrote THIRD-PARTY-NOTICES.md: another one may find other texts.
readonly CARGO_ABOUT=0.9.3
readonly TARGET=x86_64-unknown-linux-gnu
# The Cargo feature with which scripts/package.sh can build the program.
readonly FEATURE=otlp
readonly FILE=THIRD-PARTY-NOTICES.md

usage() {
  cat <<END
Write $FILE: every package that is linked into the deployed program, with the licence texts.
Run it after a change of Cargo.lock, and commit the file with it.

Usage: scripts/notices.sh [--check]

  --check  only compare the packages and versions of the file with those that Cargo links; needs only Cargo and takes a
           second

Examples:
  scripts/notices.sh
  scripts/notices.sh --check

Without --check, requires Node.js and cargo-about $CARGO_ABOUT:
  cargo install --locked --version $CARGO_ABOUT --features cli cargo-about

Exit codes: 0 the file is written or up to date; 1 it could not be written or is out of date; 2 invalid option, or a
command is missing.
END
}

fail() {
  printf 'notices: %s\n' "$1" >&2
  exit "${2:-1}"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
check=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit ;;
    --check) check=1 ;;
    *) fail "unknown option $1; run with --help to list the options" 2 ;;
  esac
  shift
done
command -v cargo >/dev/null || fail "Cargo (the command cargo) is required but not installed" 2

export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Lists the linked packages, one name and version per line, without those of this repository, which have a path. Arguments:
# more options of `cargo tree`.
linked() {
  cargo tree --locked --package devicestate --no-default-features --edges normal \
    --target "$TARGET" --prefix none --format '{p}' "$@" | awk '!/ \(\// { print $1, substr($2, 2) }' | sort -u
}
linked >"$work/default" || fail "cargo tree failed: see above"
linked --features "$FEATURE" >"$work/all" || fail "cargo tree failed: see above"
# Packages of the feature have its name as a third word.
{ cat "$work/default" && comm -13 "$work/default" "$work/all" | sed "s/\$/ $FEATURE/"; } | sort >"$work/expected"

if [ -n "$check" ]; then
  [ -f "$FILE" ] || fail "$FILE is missing: run scripts/notices.sh"
  # The rows of the table, whose second column is a version.
  awk -F ' *[|] *' '$3 ~ /^[0-9]/ { gsub("`", "", $5); print $2, $3 ($5 == "" ? "" : " " $5) }' "$FILE" | sort \
    >"$work/named"
  list() { paste -s -d , - | sed 's/,/, /g'; }
  missing=$(comm -23 "$work/expected" "$work/named" | list)
  extra=$(comm -13 "$work/expected" "$work/named" | list)
  difference="${missing:+ $missing is missing;}${extra:+ $extra is not linked;}"
  [ -z "$difference" ] || fail "$FILE is out of date:$difference run scripts/notices.sh"
  exit
fi

command -v node >/dev/null || fail "Node.js (the command node) is required but not installed" 2
version=$(cargo about --version 2>/dev/null) || version=none
[ "$version" = "cargo-about $CARGO_ABOUT" ] ||
  fail "cargo-about $CARGO_ABOUT is required, but this machine has $version: install it as --help describes" 2
printf 'notices: reading the sources of all packages, which may take two minutes\n' >&2
# cargo-about needs the sources for every platform.
cargo fetch --quiet --locked
cargo about generate --frozen --fail --no-default-features --features "$FEATURE" --config scripts/notices/about.toml \
  --format json --output-file "$work/about.json" ||
  fail "cargo-about failed: see above. If a licence is not accepted, decide about it in deny.toml first"
node scripts/notices/render.js "$work/about.json" "$work/expected" scripts/notices/template.md >"$work/notices"
cp "$work/notices" "$FILE"
printf 'notices: %s names %s packages\n' "$FILE" "$(wc -l <"$work/expected" | tr -d ' ')" >&2
