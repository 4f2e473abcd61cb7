# Checks infra/ with Bicep's own compiler: `scripts/deploy-infra.sh --check` sources this file. Needs Bicep and Node.js, and
# neither a login nor a network.
# shellcheck shell=bash

# What the compiler made of infra/ when it was last checked: the tests compare their reader of Bicep with it.
kept=tests/deployment/infra/compiled

# The oldest version of which the output was compared with that of newer ones.
oldest_checker=0.47.16

# Sets bicep to the command: the one on PATH, or az's own, which az installs or upgrades if both are missing or too old.
find_bicep() {
  local own=${AZURE_CONFIG_DIR:-${HOME:-}/.azure}/bin/bicep
  for bicep in bicep "$own"; do
    if is_new_enough; then return; fi
  done
  local need="Bicep $oldest_checker or newer is required"
  command -v az >/dev/null || cannot_start "$need: install it, or az, which installs it, and check PATH"
  # Not install, which in a pipeline is content with an older one on PATH.
  az bicep upgrade >&2 || cannot_start "$need, and az bicep upgrade failed"
  is_new_enough || cannot_start "$need: az bicep upgrade installed none in $own"
}

is_new_enough() {
  local version
  command -v "$bicep" >/dev/null || return 1
  version=$("$bicep" --version | sed -n 's/.*version \([0-9.]*\).*/\1/p') && is_at_least "$version" "$oldest_checker"
}

# Fails at any diagnostic. A property that Azure does not have is only a warning, and with warnings bicep ends with 0.
check_lints() {
  local file said
  for file in infra/main.bicep infra/*.bicepparam; do
    if ! said=$("$bicep" lint "$file" 2>&1) || [[ -n $said ]]; then
      printf '%s\n' "$said" >&2
      problem "$file has errors or warnings"
    fi
  done
}

check_format() {
  local file
  for file in infra/*.bicep infra/modules/*.bicep infra/*.bicepparam; do
    "$bicep" format "$file" --stdout | diff -U 0 "$file" - >&2 || problem "$file is not formatted: run bicep format $file"
  done
}

# Writes what the compiler makes of infra/ into the folder compiled of a scratch folder. Argument: the scratch folder.
compile() {
  local scratch=$1 file name sum=(sha256sum)
  command -v sha256sum >/dev/null || sum=(shasum -a 256)
  mkdir -p "$scratch/compiled/snapshots"
  # Snapshots are written beside the parameter files: in a copy.
  cp -R infra "$scratch/infra"
  find "$kept/snapshots" -name '*.bicepparam' -exec cp {} "$scratch/infra" \;
  "$bicep" build "$scratch/infra/main.bicep" --outfile "$scratch/main.json" || failed "infra/main.bicep does not build"
  node "$kept/condense.mjs" "$scratch/main.json" >"$scratch/compiled/main.json"
  for file in "$scratch"/infra/*.bicepparam; do
    name=$(basename "$file" .bicepparam)
    # Ids, group and region are placeholders: names follow from them.
    OPERATOR_PRINCIPAL_IDS=11111111-1111-1111-1111-111111111111 SENDER_PRINCIPAL_IDS=22222222-2222-2222-2222-222222222222 \
      "$bicep" snapshot "$file" --tenant-id 00000000-0000-0000-0000-000000000001 \
      --subscription-id 00000000-0000-0000-0000-000000000000 --resource-group rg-devicestate --location westeurope ||
      failed "bicep snapshot failed for $name.bicepparam"
    node "$kept/condense.mjs" "${file%.bicepparam}.snapshot.json" "$scratch/infra" >"$scratch/compiled/snapshots/$name.json"
  done
  # The files of which it was made. Only azd reads main.parameters.json.
  { find infra -type f ! -path infra/main.parameters.json && find "$kept/snapshots" -name '*.bicepparam'; } |
    LC_ALL=C sort | xargs "${sum[@]}" >"$scratch/compiled/sources.sha256"
}

# Compares what the compiler makes of infra/ with what is kept. Argument: the scratch folder.
check_compiled() {
  local new=$1/compiled file
  (cd "$new" && find . -type f) >"$1/new"
  (cd "$kept" && find . -path ./example -prune -o \( -name '*.json' -o -name '*.sha256' \) -print) >"$1/old"
  while read -r file; do
    diff -U 1 "$kept/$file" "$new/$file" >"$1/diff" 2>&1 || { sed -n 1,20p "$1/diff" >&2 && old=1; }
  done < <(sort -u "$1/new" "$1/old")
  ((!old)) || problem "infra/ was changed since $kept was made: run scripts/deploy-infra.sh --check --update-compiled, and commit it"
}

update_compiled() {
  rm -f "$kept"/snapshots/*.json
  cp -R "$1/compiled/." "$kept"
  echo "$kept is what $("$bicep" --version) makes of infra/."
}

problem() { report_error "$@"; problems=1; }

# Argument: update, to write what is kept anew.
check_infra() {
  local problems=0 old=0
  need node
  find_bicep
  check_lints
  check_format
  ((!problems)) || exit 1
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  compile "$scratch"
  if [[ $1 == update ]]; then update_compiled "$scratch"; else check_compiled "$scratch"; fi
  exit "$problems"
}
