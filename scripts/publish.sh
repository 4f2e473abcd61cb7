#!/usr/bin/env bash
# Publishes a package to the function apps of a resource group, with Azure Functions Core Tools: to that of the standby
# region first, if there is one. It has nothing to read as long as nothing has failed over, so what is wrong with
# publishing shows there.
#
# Usage: scripts/publish.sh (--environment NAME | --resource-group GROUP) [options]
#
#   --environment NAME      staging, production: stands for the resource group rg-devicestate-NAME
#   --resource-group GROUP  another resource group
#   --standby               only to the app of the standby region, while the first one is lost
#   --first                 only to that of the first region, while the standby is lost
#   --package DIR           what to publish, instead of target/package, which scripts/package.sh makes
#   --every SECONDS         the time between two of at most five tries, instead of 60: in an app that was made a minute
#                           ago, the role by which it takes a package has no effect yet
#
# Publishing replaces the package that runs, and Flex Consumption keeps no former one: what can be rolled back to are
# the packages that builds have kept. See scripts/rollback.sh.
#
# Example:
#   scripts/package.sh && scripts/publish.sh --environment staging
#
# Exit codes: 0 done, 1 failed, 2 could not begin.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The last version with which custom handlers could not be published to Flex Consumption.
too_old=4.2.1

every=60 environment='' resource_group='' which='' package=$PWD/target/package
while (($#)); do
  case $1 in
    --environment) environment=$(value "$@"); shift 2 ;;
    --resource-group) resource_group=$(value "$@"); shift 2 ;;
    --standby | --first) which=$1; shift ;;
    --package) package=$(path "$@"); shift 2 ;;
    --every) every=$(value "$@"); shift 2 ;;
    -h | --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
resource_group=$(resource_group "$resource_group" "$environment")
need az func node

version=$(func --version) || cannot_begin "func --version fails"
if [[ $version == "$too_old" ]] || ! is_at_least "$version" "$too_old"; then
  cannot_begin "Core Tools $version cannot publish custom handlers to Flex Consumption: it takes newer than $too_old"
fi

# Core Tools make executable in the archive what has the very name that is in host.json, whatever it is on this disk.
[[ -f $package/host.json ]] || cannot_begin "there is no package in $package: scripts/package.sh makes one"
handler=$(cd "$package" && node -p 'require("./host.json").customHandler?.description?.defaultExecutablePath ?? ""') ||
  cannot_begin "$package/host.json is no JSON"
[[ -n $handler && -f $package/$handler ]] ||
  cannot_begin "the package in $package does not hold the handler that its host.json names: \"$handler\""

apps=''
if [[ $which == --standby ]]; then
  apps=$(node scripts/deployment.js "$resource_group" STANDBY_FUNCTION_APP_NAME)
elif [[ -z $which ]]; then
  apps=$(node scripts/deployment.js "$resource_group" STANDBY_FUNCTION_APP_NAME '')
fi
if [[ $which != --standby ]]; then
  apps+=" $(node scripts/deployment.js "$resource_group" AZURE_FUNCTION_APP_NAME)"
fi

for app in $apps; do
  # --custom: a package has no local.settings.json that would tell the kind of app.
  tries=5
  until (cd "$package" && func azure functionapp publish "$app" --custom); do
    ((--tries)) || failed "$app did not take the package in $package: see above"
    echo "$app did not take it. Once more in $every s, $tries at most."
    sleep "$every"
  done
  echo "The package in $package runs in $app."
done
