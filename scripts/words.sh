#!/usr/bin/env bash
# Checks the words of this project: spelling and banned words (typos, _typos.toml), banned forms (scripts/words/forms.tsv),
# and in Markdown the line length, anchors and links (markdownlint).
#
# Usage: scripts/words.sh [--tracked] [PATH ...]        Without a path: every file that git tracks.
#
#   --tracked    of these paths, only those that the check of the whole repository includes
#
# Examples:
#   scripts/words.sh
#   scripts/words.sh docs README.md
#
# An exception is justified on its line, by `words:allow` and a reason in a comment. The tools come from PyPI and npm, once,
# and stay below target/words.
#
# Exit codes: 0 nothing found; 1 something found; 2 the check could not start.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

tracked=
case ${1-} in
  --tracked) tracked=1 && shift ;;
  -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;;
  -*) printf 'words: unknown option %s; run with --help to list the options\n' "$1" >&2 && exit 2 ;;
esac

# Files that hold data, text of others, or the lists themselves.
readonly NOT_OURS='^(Cargo\.lock|LICENSE|THIRD-PARTY-NOTICES\.md|_typos\.toml|CHANGELOG\.md|scripts/words/.*|scripts/notices/template\.md)$|package-lock\.json$|\.svg$|^(benches/(results|peers)|fuzz/corpus|samples|tests/(data|fixtures|deployment/infra/compiled/(example|snapshots)))/|compiled/main\.json$|/corpus/'

cannot_start() {
  printf 'words: %s\n' "$1" >&2
  exit 2
}

# Installs the tools into a folder for each set of versions and rules, and prints the folder.
tools() {
  local folder new
  folder=target/words/$(cat scripts/words/{requirements.txt,package-lock.json,markdownlint.json} | cksum | cut -d ' ' -f 1)
  new=$folder.$$
  if [ ! -d "$folder" ]; then
    mkdir -p "$new"
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
      --only-binary=:all: --target "$new" --requirement scripts/words/requirements.txt >&2 || return 1
    cp scripts/words/package.json scripts/words/package-lock.json "$new"
    cp scripts/words/markdownlint.json "$new/.markdownlint-cli2.jsonc"
    npm ci --prefix "$new" --silent --no-fund --no-audit >&2 || return 1
    # Another run may have been faster.
    mv -T "$new" "$folder" 2>/dev/null || rm -rf "$new"
  fi
  printf '%s' "$PWD/$folder"
}

tools=$(tools) || cannot_start "the tools could not be installed: python3 with pip and Node.js 18 or newer are needed (.ci/setup)"
found=0

if [ $# -gt 0 ] && [ -z "$tracked" ]; then
  files=("$@")
else
  mapfile -t files < <(git ls-files --cached --others --exclude-standard -- "$@" | grep -Ev "$NOT_OURS")
fi
mapfile -t files < <(for file in "${files[@]}"; do [ ! -f "$file" ] || printf '%s\n' "$file"; done)
if [ ${#files[@]} -eq 0 ]; then
  [ -z "$tracked" ] || exit 0
  cannot_start "there is no such file"
fi

"$tools/bin/typos" --config _typos.toml --format brief --force-exclude "${files[@]}" || found=1
# typos skips files that may hold its own configuration, such as Cargo.toml, unless they come from standard input.
for file in "${files[@]}"; do
  [[ ${file##*/} != Cargo.toml ]] ||
    "$tools/bin/typos" --config _typos.toml --format brief - <"$file" | sed "s#^-:#$file:#" || found=1
done

while IFS=$'\t' read -r form instead; do
  [[ -n $form && $form != \#* ]] || continue
  lines=$(grep -InPi -- "$form" "${files[@]}" /dev/null | grep -v 'words:allow')
  [ -z "$lines" ] || {
    found=1
    sed "s#\$#    [write: ${instead//#/\\#}]#" <<<"$lines"
  }
done <scripts/words/forms.tsv

pages=()
for file in "${files[@]}"; do [[ $file != *.md ]] || pages+=("$file"); done
if [ ${#pages[@]} -gt 0 ]; then
  NODE_PATH=$tools/node_modules "$tools/node_modules/.bin/markdownlint-cli2" --config "$tools/.markdownlint-cli2.jsonc" \
    "${pages[@]/#/:}" >&2 || found=1
fi

[ $found = 0 ] || printf 'words: see above; an exception needs words:allow and a reason on its line (CONTRIBUTING.md)\n' >&2
exit $found
