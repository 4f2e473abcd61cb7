#!/usr/bin/env bash
# Replaces the running package with an earlier good one, and runs the smoke test.
#
# Usage: scripts/rollback.sh (--environment NAME | --resource-group GROUP) --package DIR [options]
#
#   --environment NAME      staging or production: the resource group is rg-devicestate-NAME
#   --resource-group GROUP  another resource group
#   --package DIR           the unpacked package: the artifact of a run with the tag good-NAME
#   --standby               only in the standby region, while the first region is lost
#   --first                 only in the first region, while the standby is lost
#   --no-drill              test without the forced 503, for environments without the setting RetryDrillDevice
#   --event TEMPLATE        the event of the test: see scripts/smoke-test.js --help
#
# A Flex Consumption app has no slots and keeps no earlier packages, so a rollback publishes again. It is safe for the
# documents: each reading has the version of its event, so events that are processed twice or late overwrite nothing newer.
# Events that the bad package dead-lettered stay in the queue. The infrastructure does not change.
#
# Examples:
#   scripts/rollback.sh --environment staging --package good/package
#
#   az pipelines runs artifact download --artifact-name package --run-id 1234 --path good
#   mkdir good/package && tar --extract --file good/package.tar.gz --directory good/package
#   scripts/rollback.sh --environment production --package good/package --no-drill
#
# Exit codes: 0 the package works, 1 failed, 2 could not start.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

environment='' resource_group='' package='' which=() how=()
while (($#)); do
  case $1 in
    --environment) environment=$(value "$@"); shift 2 ;;
    --package) package=$(path "$@"); shift 2 ;;
    --resource-group) resource_group=$(value "$@"); shift 2 ;;
    --standby | --first) which=("$1"); shift ;;
    --no-drill) how+=(--no-drill); shift ;;
    --event) event=$(value "$@"); how+=(--event "$event"); shift 2 ;;
    -h | --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
resource_group=$(resource_group "$resource_group" "$environment")
[[ -n $package ]] || cannot_start "missing option: --package DIR, the unpacked good package"

scripts/publish.sh --resource-group "$resource_group" ${which[@]+"${which[@]}"} --package "$package"
scripts/smoke-test.js --resource-group "$resource_group" ${which[@]+"${which[@]}"} ${how[@]+"${how[@]}"} --package "$package"
