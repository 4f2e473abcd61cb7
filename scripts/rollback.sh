#!/usr/bin/env bash
# Puts a package that was good before in place of the one that runs, and looks whether it works.
#
# Usage: scripts/rollback.sh (--environment NAME | --resource-group GROUP) --package DIR [options]
#
#   --environment NAME      staging, production: stands for the resource group rg-devicestate-NAME
#   --resource-group GROUP  another resource group
#   --package DIR           the package, unpacked: the artifact of a run that has the tag good-NAME
#   --standby               only in the standby region, while the first one is lost
#   --first                 only in the first region, while the standby is lost
#   --no-drill              look without the forced 503: for environments that set no RetryDrillDevice
#
# A Flex Consumption app has no slots to swap and no former packages: going back is publishing again. For the documents
# it is harmless whichever way: each reading carries the version of its event, so a package that handles events a second
# time, or late, overwrites nothing newer. Events that the bad package has dead-lettered wait in the queue. The
# infrastructure stays as it is.
#
# Example:
#   az pipelines runs artifact download --artifact-name package --run-id 1234 --path good
#   mkdir good/package && tar --extract --file good/package.tar.gz --directory good/package
#   scripts/rollback.sh --environment production --package good/package --no-drill
#
# Exit codes: 0 it works again, 1 failed, 2 could not begin.
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
    --no-drill) how=(--no-drill); shift ;;
    -h | --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
resource_group=$(resource_group "$resource_group" "$environment")
[[ -n $package ]] || cannot_begin "say to which: --package DIR"

scripts/publish.sh --resource-group "$resource_group" ${which[@]+"${which[@]}"} --package "$package"
scripts/smoke-test.js --resource-group "$resource_group" ${which[@]+"${which[@]}"} ${how[@]+"${how[@]}"} --package "$package"
