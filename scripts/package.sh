#!/usr/bin/env bash
# Creates the folder that is published to Azure, and checks it. See --help and docs/operate/package.md.
set -euo pipefail
shopt -s nullglob dotglob

# The oldest glibc that the program must run on.
readonly GLIBC=2.28
readonly TARGET=x86_64-unknown-linux-gnu

usage() {
  cat <<END
Create the folder that is published: host.json, telemetry.json and the folder schemas if they exist, each folder's
function.json, the program for x86-64 Linux with glibc $GLIBC or newer, and the licences. Check it, start it if this
machine can, and print its size and start time.

The program is built without default features, so it has no \`devicestate local\`: that command ends with exit code 2
and an error.

Usage: scripts/package.sh [--folder DIR] [--binary FILE | [--profile NAME] [--features LIST]] [-o FORMAT]

Package:
  --folder DIR         the folder to create; an earlier package there is replaced [default: target/package]
  --binary FILE        package this program instead of building one; it is checked, too

Build:
  --profile NAME       build with this Cargo profile [default: dist]
  --features LIST      build with these additional Cargo features, such as otlp (docs/operate/opentelemetry.md)

Output:
  -o, --output FORMAT  format of the report: table, json (one object) or jsonl (the data on one line) [default: table]

Examples:
  scripts/package.sh
  scripts/package.sh --folder ../package --output json
  scripts/package.sh --features otlp
  scripts/package.sh --profile dev --folder target/package-dev
  scripts/package.sh --binary ../built-elsewhere/devicestate

Requires Rust, Node.js and, without --binary, python3 with pip: the linker (zig) is installed once from PyPI into the
target folder.

Exit codes: 0 the package was created; 1 it was not, and an earlier one is unchanged; 2 invalid options.
END
}

fail() {
  printf 'package: %s\n' "$1" >&2
  exit "${2:-1}"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder='' binary='' profile='' features='' format=table
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage && exit ;;
    --folder | --binary | --profile | --features | -o | --output)
      [ -n "${2:-}" ] || fail "the option $1 needs a value" 2 ;;
    *) fail "unknown option $1; run with --help to list the options" 2 ;;
  esac
  case $1 in
    --folder) folder=$2 ;;
    --binary) binary=$2 ;;
    --profile) profile=$2 ;;
    --features) features=$2 ;;
    -o | --output) format=$2 ;;
  esac
  shift 2
done
case $format in table | json | jsonl) ;; *) fail "--output must be table, json or jsonl, not \"$format\"" 2 ;; esac
for option in profile features; do
  [ -z "$binary" ] || [ -z "${!option}" ] || fail "--$option cannot be used with --binary, which is not built" 2
done
[ -z "$binary" ] || [ -f "$binary" ] || fail "the program $binary does not exist: correct --binary, or omit it to build one"
command -v node >/dev/null || fail "Node.js (the command node) is required but not installed"

# rename(2) instead of mv, which would move into a folder that another process has just created.
rename() { node -e 'require("node:fs").renameSync(...process.argv.slice(1))' "$1" "$2"; }

target_folder() {
  cargo metadata --manifest-path "$root/Cargo.toml" --locked --no-deps --format-version 1 |
    node -p 'JSON.parse(require("node:fs").readFileSync(0)).target_directory'
}

# The program of host.json, which is also the name of Cargo's binary.
name=$(node -p 'require(process.argv[1]).customHandler.description.defaultExecutablePath' "$root/host.json")
functions=("$root"/*/function.json)
[ ${#functions[@]} -gt 0 ] || fail "no folder in $root has a function.json"
target=$(target_folder)
output=${folder:-$target/package}

# An existing folder is deleted only if it is an earlier package.
is_package() {
  local entry inside
  for entry in "$1"/*; do
    inside=("$entry"/*)
    case ${entry##*/} in
      host.json | telemetry.json | LICENSE | THIRD-PARTY-NOTICES.md | "$name") [ -f "$entry" ] || return 1 ;;
      schemas) [ -d "$entry" ] || return 1 ;;
      *) [ ${#inside[@]} -eq 1 ] && [ "${inside[0]}" = "$entry/function.json" ] || return 1 ;;
    esac
  done
}
if [ -e "$output" ] && ! { [ -d "$output" ] && is_package "$output"; }; then
  fail "$output already exists and is not a package: nothing was changed. Use another --folder, or delete it"
fi

# Installs the linker and cargo-zigbuild into a folder per set of versions. Prints the folder.
tools() {
  local requirements=$root/scripts/package/requirements.txt folder
  folder=$target/tools/zig-$(cksum <"$requirements" | cut -d ' ' -f 1)
  if [ ! -d "$folder" ]; then
    python3 -m pip --version >/dev/null 2>&1 ||
      fail "python3 with pip is required to install the linker from PyPI. Or build elsewhere and use --binary"
    mkdir -p "$folder.$$"
    # A plain folder instead of a virtual environment, which could not be renamed.
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
      --only-binary=:all: --target "$folder.$$" --requirement "$requirements" >&2 || {
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
  # Only one package, because Cargo would add the features of tokio that other default members need. No default features:
  # `local`, with its stand-in host and simulated devices, is for developers. A separate target folder, so that the output
  # of `cargo build` does not change.
  # Cargo reads .cargo/config.toml from the current folder.
  (
    cd "$root"
    PATH=$tools/bin:$PATH CARGO_ZIGBUILD_ZIG_PATH=$tools/ziglang/zig cargo zigbuild --locked --profile "$profile" \
      --package devicestate --no-default-features ${features:+--features "$features"} --bin "$name" \
      --target "$TARGET.$GLIBC" --target-dir "$target/zig" >&2
  ) ||
    fail "the program could not be built: see above"
  # The only profile whose folder has another name.
  [ "$profile" != dev ] || profile=debug
  binary=$target/zig/$TARGET/$profile/$name
fi

# In the same parent folder, so that the last step is a rename.
mkdir -p "$(dirname "$output")"
work=$(mktemp -d "$(dirname "$output")/.package.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/new"
# Every copy of the program must include the licences.
cp "$root/host.json" "$root/LICENSE" "$root/THIRD-PARTY-NOTICES.md" "$work/new/"
# The telemetry file, and the schemas that it names. The program does not start if they are invalid.
for entry in telemetry.json schemas; do
  [ ! -e "$root/$entry" ] || cp -R "$root/$entry" "$work/new/"
done
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
