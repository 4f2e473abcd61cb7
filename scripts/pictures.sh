#!/usr/bin/env bash
# Makes the pictures of the pages again: docs/pictures.
#
# Usage: scripts/pictures.sh [NAME ...]        Without a name: all of them.
#
#   report     the page of `devicestate local --html`, in light and dark: report.png, report-dark.png
#   workbook   the queries of the workbook and the alerts over a run with trouble: workbook.png
#
# Examples:
#   scripts/pictures.sh
#   scripts/pictures.sh report
#
# Requires Cargo, Node.js and Chromium (the command `chromium`, or another one in CHROMIUM).
#
# Exit codes: 0 made, 1 failed or a picture is too large, 2 could not start.
set -euo pipefail
. "$(dirname "$0")/common.sh"

readonly FOLDER=docs/pictures
# GitHub shows larger pictures late on a slow connection.
readonly MAX_BYTES=200000

case ${1-} in
  -h | --help) help && exit ;;
  -*) unknown_option "$1" ;;
esac
[ $# -gt 0 ] || set -- report workbook
chromium=${CHROMIUM:-chromium}
command -v "$chromium" >/dev/null || cannot_start "Chromium is not installed: set CHROMIUM to its command"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Takes a picture of a page: page, picture, width, height, scale, and more options of Chromium.
shoot() {
  local page=$1 picture=$FOLDER/$2 width=$3 height=$4 scale=$5
  shift 5
  "$chromium" --headless --no-sandbox --hide-scrollbars --user-data-dir="$work/chromium" --window-size="$width,$height" \
    --force-device-scale-factor="$scale" "$@" --screenshot="$PWD/$picture" "file://$page" >"$work/log" 2>&1 ||
    failed "no picture of $page: $(tail -n 3 "$work/log")"
  [ "$(stat -c %s "$picture")" -le $MAX_BYTES ] || failed "$picture has more than $MAX_BYTES bytes"
}

cargo build --quiet
for name in "$@"; do
  case $name in
    report)
      target/debug/devicestate local --html "$work/report.html" --state "$work/report.db" >/dev/null
      shoot "$work/report.html" report.png 900 905 1.4
      shoot "$work/report.html" report-dark.png 900 905 1.4 --blink-settings=preferredColorScheme=0
      ;;
    workbook)
      node -e 'require("./scripts/alerts/kusto.js")' 2>"$work/log" ||
        cannot_start "the query parser is not installed: run npm ci --prefix scripts/alerts"
      # Trouble: invalid events, more events than a throughput unit allows, and a handler that is killed twice.
      target/debug/devicestate local --devices 50 --events 500 --rate 1100/s --seed 7 --invalid-events 2% \
        --throughput-units 1 --state "$work/workbook.db" --telemetry "$work/telemetry.jsonl" >/dev/null 2>"$work/log" &
      run=$!
      for seconds in 8 4; do
        sleep "$seconds"
        handler=$(cat /proc/$run/task/*/children) || failed "the run has ended: $(tail -n 3 "$work/log")"
        # It has one instance.
        kill -KILL "${handler%% *}"
      done
      wait "$run" || failed "the run failed: $(tail -n 3 "$work/log")"
      node scripts/alerts/draw.js "$work/telemetry.jsonl" --html "$work/workbook.html" --window 6s
      shoot "$work/workbook.html" workbook.png 1000 1120 1.2
      ;;
    *) cannot_start "there is no picture $name" ;;
  esac
done
