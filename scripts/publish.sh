#!/usr/bin/env bash
# Publishes a package to the function apps of a resource group with Azure Functions Core Tools. If there is a standby region,
# its app is first: it reads no events before a failover, so a failed publish does no harm there.
#
# Usage: scripts/publish.sh (--environment NAME | --resource-group GROUP) [options]
#
#   --environment NAME      staging or production: the resource group is rg-devicestate-NAME
#   --resource-group GROUP  another resource group
#   --standby               only to the standby region's app, while the first region is lost
#   --first                 only to the first region's app, while the standby region is lost
#   --package DIR           folder of the package [default: target/package, which scripts/package.sh creates]
#   --every SECONDS         time between two of at most five attempts [default: 60]: in a new app, the role assignment for
#                           publishing takes effect only after a minute
#
# Publishing replaces the running package, and Flex Consumption keeps no earlier one: a rollback (scripts/rollback.sh) needs a
# package that a build kept.
#
# Examples:
#   scripts/package.sh && scripts/publish.sh --environment staging
#   scripts/publish.sh --resource-group GROUP --package good/package --standby
#
# Exit codes: 0 done, 1 failed, 2 could not start.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The last version that cannot publish custom handlers to Flex Consumption.
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

version=$(func --version) || cannot_start "func --version fails: install Azure Functions Core Tools again"
if [[ $version == "$too_old" ]] || ! is_at_least "$version" "$too_old"; then
  cannot_start "Core Tools $version cannot publish custom handlers to Flex Consumption: a version newer than $too_old is required"
fi

# Core Tools make only the file executable whose name is in host.json.
[[ -f $package/host.json ]] || cannot_start "$package is not a package: run scripts/package.sh"
handler=$(cd "$package" && node -p 'require("./host.json").customHandler?.description?.defaultExecutablePath ?? ""') ||
  cannot_start "$package/host.json is not valid JSON"
[[ -n $handler && -f $package/$handler ]] ||
  cannot_start "the package in $package does not contain the handler of its host.json: \"$handler\""

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
  # --custom: the package has no local.settings.json with the kind of app.
  tries=5
  until (cd "$package" && func azure functionapp publish "$app" --custom); do
    ((--tries)) || failed "$app did not accept the package in $package: see above"
    echo "$app did not accept the package. Retrying in $every s (attempts left: $tries)."
    sleep "$every"
  done
  echo "The package in $package is published to $app."
done
