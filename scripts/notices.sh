#!/usr/bin/env bash
# Writes the notices for the software of others in the package, or checks them. See --help.
set -euo pipefail

# The version that THIRD-PARTY-NOTICES.md was written with: another one may find other texts.
readonly CARGO_ABOUT=0.9.3
readonly TARGET=x86_64-unknown-linux-gnu
# The Cargo features with which scripts/package.sh can build the program, besides none.
readonly FEATURE=otlp
readonly FILE=THIRD-PARTY-NOTICES.md

usage() {
  cat <<END
Writes $FILE: every package that is linked into the deployed program, and the licence texts of all.
Run it after a change of Cargo.lock, and commit the file with it.

Usage: scripts/notices.sh [--check]

  --check  write nothing; compare the packages and versions that the file names with those that Cargo links. Needs only
           Cargo, and takes a second

Examples:
  scripts/notices.sh
  scripts/notices.sh --check

Needs Node.js and cargo-about $CARGO_ABOUT, unless --check is given:
  cargo install --locked --version $CARGO_ABOUT --features cli cargo-about

Exit codes: 0 the file is written, or up to date; 1 it could not be written, or is out of date; 2 wrong usage, or a
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
    *) fail "there is no option $1: see --help" 2 ;;
  esac
  shift
done
command -v cargo >/dev/null || fail "Cargo is missing (the command cargo)" 2

export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What is linked, as lines of name and version, without the packages of this repository, which have a path. Arguments:
# more options of `cargo tree`.
linked() {
  cargo tree --locked --package devicestate --no-default-features --edges normal \
    --target "$TARGET" --prefix none --format '{p}' "$@" | awk '!/ \(\// { print $1, substr($2, 2) }' | sort -u
}
linked >"$work/default" || fail "cargo tree failed: see above"
linked --features "$FEATURE" >"$work/all" || fail "cargo tree failed: see above"
# The packages of the feature have it as a third word.
{ cat "$work/default" && comm -13 "$work/default" "$work/all" | sed "s/\$/ $FEATURE/"; } | sort >"$work/expected"

if [ -n "$check" ]; then
  [ -f "$FILE" ] || fail "$FILE is missing: run scripts/notices.sh"
  # The rows of the table, whose second column is a version.
  awk -F ' *[|] *' '$3 ~ /^[0-9]/ { gsub("`", "", $5); print $2, $3 ($5 == "" ? "" : " " $5) }' "$FILE" | sort \
    >"$work/named"
  list() { paste -s -d , - | sed 's/,/, /g'; }
  missing=$(comm -23 "$work/expected" "$work/named" | list)
  extra=$(comm -13 "$work/expected" "$work/named" | list)
  difference="${missing:+ it lacks $missing;}${extra:+ it has $extra, which is not linked;}"
  [ -z "$difference" ] || fail "$FILE is out of date:$difference run scripts/notices.sh"
  exit
fi

command -v node >/dev/null || fail "Node.js is missing (the command node)" 2
version=$(cargo about --version 2>/dev/null) || version=none
[ "$version" = "cargo-about $CARGO_ABOUT" ] ||
  fail "cargo-about $CARGO_ABOUT is needed, and this machine has $version: see --help" 2
printf 'notices: cargo-about reads the sources of all packages, which may take two minutes\n' >&2
# cargo-about wants the sources for every platform, and then reads nothing but them.
cargo fetch --quiet --locked
cargo about generate --frozen --fail --no-default-features --features "$FEATURE" --config scripts/notices/about.toml \
  --format json --output-file "$work/about.json" ||
  fail "cargo-about failed: see above. A licence that is not accepted is a matter for deny.toml first"
node scripts/notices/render.js "$work/about.json" "$work/expected" scripts/notices/template.md >"$work/notices"
cp "$work/notices" "$FILE"
printf 'notices: %s names %s packages\n' "$FILE" "$(wc -l <"$work/expected" | tr -d ' ')" >&2
