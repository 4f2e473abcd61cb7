#!/usr/bin/env bash
# Makes the folder that is published to Azure, and checks it. See --help, and docs/operate/package.md for the reasons.
set -euo pipefail
shopt -s nullglob dotglob

# The oldest glibc that the program must run on.
readonly GLIBC=2.28
readonly TARGET=x86_64-unknown-linux-gnu

usage() {
  cat <<END
Makes the folder that is published: host.json, each folder's function.json, the program for x86-64 Linux with glibc
$GLIBC or newer, and the licences. Checks it, starts it where this machine can, and prints its size and start time.

The program is built without default features, so it has no \`devicestate local\`: that command then ends with exit
code 2 and says that this build has no \`local\`.

Usage: scripts/package.sh [--output DIR] [--binary FILE | [--profile NAME] [--features LIST]] [--format text|json]

  --output DIR     the folder to make; an earlier package there is replaced [default: target/package]
  --binary FILE    package this program in place of building one; it is checked all the same
  --profile NAME   build with this Cargo profile [default: dist]
  --features LIST  build with these Cargo features besides, such as otlp (docs/operate/opentelemetry.md)
  --format FORMAT  how to print the report on standard output: text or json [default: text]

Examples:
  scripts/package.sh
  scripts/package.sh --output ../package --format json
  scripts/package.sh --features otlp
  scripts/package.sh --profile dev --output target/package-dev
  scripts/package.sh --binary ../built-elsewhere/devicestate

Needs Rust, Node.js and, unless --binary is given, python3 with pip: the linker (zig) is installed from PyPI, once,
below the target folder.

Exit codes: 0 the package is there; 1 it is not, and an earlier one was left as it is; 2 wrong usage.
END
}

fail() {
  printf 'package: %s\n' "$1" >&2
  exit "${2:-1}"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
output='' binary='' profile='' features='' format=text
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit ;;
    --output | --binary | --profile | --features | --format) [ -n "${2:-}" ] || fail "$1 needs a value: see --help" 2 ;;
    *) fail "there is no option $1: see --help" 2 ;;
  esac
  case $1 in
    --output) output=$2 ;;
    --binary) binary=$2 ;;
    --profile) profile=$2 ;;
    --features) features=$2 ;;
    --format) format=$2 ;;
  esac
  shift 2
done
case $format in text | json) ;; *) fail "--format is text or json, not $format" 2 ;; esac
for option in profile features; do
  [ -z "$binary" ] || [ -z "${!option}" ] || fail "--$option is for building, which --binary replaces: give one of them" 2
done
[ -z "$binary" ] || [ -f "$binary" ] || fail "the program to package is not there: $binary"
command -v node >/dev/null || fail "Node.js is missing (the command node)"

# rename(2) and not mv, which would move into a folder that somebody else has just made.
rename() { node -e 'require("node:fs").renameSync(...process.argv.slice(1))' "$1" "$2"; }

target_folder() {
  cargo metadata --manifest-path "$root/Cargo.toml" --locked --no-deps --format-version 1 |
    node -p 'JSON.parse(require("node:fs").readFileSync(0)).target_directory'
}

# What the host is told to start, and so the name of Cargo's binary.
name=$(node -p 'require(process.argv[1]).customHandler.description.defaultExecutablePath' "$root/host.json")
functions=("$root"/*/function.json)
[ ${#functions[@]} -gt 0 ] || fail "no folder in $root has a function.json"
target=$(target_folder)
output=${output:-$target/package}

# What is there already is deleted only if it is nothing but an earlier package.
is_package() {
  local entry inside
  for entry in "$1"/*; do
    inside=("$entry"/*)
    case ${entry##*/} in
      host.json | LICENSE | THIRD-PARTY-NOTICES.md | "$name") [ -f "$entry" ] || return 1 ;;
      *) [ ${#inside[@]} -eq 1 ] && [ "${inside[0]}" = "$entry/function.json" ] || return 1 ;;
    esac
  done
}
if [ -e "$output" ] && ! { [ -d "$output" ] && is_package "$output"; }; then
  fail "$output is there already and is no package: nothing was touched. Give another --output, or delete it"
fi

# The linker and Cargo's way to it, in a folder for each set of versions. Prints the folder.
tools() {
  local wanted=$root/scripts/package/requirements.txt folder
  folder=$target/tools/zig-$(cksum <"$wanted" | cut -d ' ' -f 1)
  if [ ! -d "$folder" ]; then
    python3 -m pip --version >/dev/null 2>&1 ||
      fail "python3 with pip is missing, which installs the linker from PyPI. Or build elsewhere, and give --binary"
    mkdir -p "$folder.$$"
    # A folder of its own and no virtual environment, which could not be renamed when it is complete.
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
      --only-binary=:all: --target "$folder.$$" --requirement "$wanted" >&2 || {
      rm -rf "$folder.$$"
      fail "pip could not install the linker: see above"
    }
    rename "$folder.$$" "$folder" 2>/dev/null || rm -rf "$folder.$$"
  fi
  printf '%s' "$folder"
}

if [ -z "$binary" ]; then
  profile=${profile:-dist}
  tools=$(tools)
  # One package, and no default features: `local`, with its stand-in host and simulated devices, is for machines of
  # developers, and Cargo would give the product what other default members want of tokio. A target folder of its own:
  # what `cargo build` has made for this machine stays as it is.
  PATH=$tools/bin:$PATH CARGO_ZIGBUILD_ZIG_PATH=$tools/ziglang/zig cargo zigbuild --manifest-path "$root/Cargo.toml" \
    --locked --profile "$profile" --package devicestate --no-default-features ${features:+--features "$features"} \
    --bin "$name" --target "$TARGET.$GLIBC" --target-dir "$target/zig" >&2 ||
    fail "the program could not be built: see above"
  # The one profile whose folder has another name.
  [ "$profile" != dev ] || profile=debug
  binary=$target/zig/$TARGET/$profile/$name
fi

# Beside the place where it goes, so that going there is a rename.
mkdir -p "$(dirname "$output")"
work=$(mktemp -d "$(dirname "$output")/.package.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/new"
# The licences go with every copy of the program.
cp "$root/host.json" "$root/LICENSE" "$root/THIRD-PARTY-NOTICES.md" "$work/new/"
for function in "${functions[@]}"; do
  folder=$work/new/$(basename "$(dirname "$function")")
  mkdir "$folder"
  cp "$function" "$folder/"
done
cp "$binary" "$work/new/$name"
find "$work/new" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
chmod 755 "$work/new/$name"

report=$(node "$root/scripts/package/check.js" "$work/new" "$GLIBC" "$format")
[ ! -e "$output" ] || rename "$output" "$work/old"
rename "$work/new" "$output"
printf '%s\n' "$report"
printf 'package: %s is ready\n' "$output" >&2
