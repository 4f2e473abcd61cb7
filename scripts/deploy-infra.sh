#!/usr/bin/env bash
# Deploys the infrastructure of infra/main.bicep into a resource group.
#
# Usage: scripts/deploy-infra.sh (--environment NAME | --resource-group GROUP --parameters FILE) [options]
#        scripts/deploy-infra.sh --check
#
#   --environment NAME      staging, production: stands for the resource group rg-devicestate-NAME and for the
#                           parameters of infra/NAME.bicepparam
#   --resource-group GROUP  another resource group
#   --parameters FILE       other parameters: a .bicepparam that begins with using '…/infra/main.bicep'
#   --location REGION       where to make the resource group when there is none; for two regions in the standby's, with
#                           param location in the parameters (docs/operate/failover.md)
#   --what-if               only tell what would change
#   --check                 only build and lint the templates and the parameter files: needs no login
#
# The parameter files take from the environment OPERATOR_PRINCIPAL_IDS and SENDER_PRINCIPAL_IDS: object ids, separated
# by commas. Whoever runs the smoke test must be an operator.
#
# Examples:
#   scripts/deploy-infra.sh --check
#   scripts/deploy-infra.sh --environment staging --what-if
#   OPERATOR_PRINCIPAL_IDS=$(az ad signed-in-user show --query id --output tsv) \
#     scripts/deploy-infra.sh --environment staging --location westeurope
#
# Exit codes: 0 done, 1 failed, 2 could not begin.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

environment='' resource_group='' parameters='' location='' mode=create
while (($#)); do
  case $1 in
    --environment) environment=$(value "$@"); shift 2 ;;
    --resource-group) resource_group=$(value "$@"); shift 2 ;;
    --parameters) parameters=$(path "$@"); shift 2 ;;
    --location) location=$(value "$@"); shift 2 ;;
    --what-if) mode=what-if; shift ;;
    --check) mode=check; shift ;;
    -h | --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
need az

# Older ones build outputs of a module that is not deployed into what Azure cannot evaluate. Without any, az gets one.
oldest_bicep=0.37.4
bicep=$(az bicep version 2>/dev/null | sed -n 's/.*version \([0-9.]*\).*/\1/p') || bicep=''
[[ -z $bicep ]] || is_at_least "$bicep" "$oldest_bicep" ||
  cannot_begin "Bicep $bicep is too old, it takes $oldest_bicep or newer: az bicep upgrade"

if [[ $mode == check ]]; then
  az bicep build --file infra/main.bicep --stdout >/dev/null || failed "infra/main.bicep does not build"
  az bicep lint --file infra/main.bicep || failed "infra/main.bicep does not pass its lints"
  for file in infra/*.bicepparam; do
    az bicep build-params --file "$file" --stdout >/dev/null || failed "$file does not build"
  done
  exit
fi

resource_group=$(resource_group "$resource_group" "$environment")
[[ -n $parameters$environment ]] || cannot_begin "say with which parameters: --environment NAME, or --parameters FILE"
parameters=${parameters:-infra/$environment.bicepparam}
[[ -f $parameters ]] || cannot_begin "there are no parameters in $parameters"
exists=$(az group exists --name "$resource_group") ||
  cannot_begin "az does not say whether there is $resource_group: is somebody logged in?"
if [[ $exists != true && $mode == what-if ]]; then
  echo "There is no resource group $resource_group yet: all of infra/main.bicep would be new."
  exit
elif [[ $exists != true ]]; then
  [[ -n $location ]] || cannot_begin "there is no resource group $resource_group yet: say where with --location REGION"
  az group create --name "$resource_group" --location "$location" --output none ||
    failed "$resource_group could not be made"
fi

az deployment group "$mode" --resource-group "$resource_group" --name devicestate \
  --parameters "$parameters" --output none ||
  failed "az deployment group $mode failed for $resource_group"
[[ $mode == what-if ]] || echo "The infrastructure is in $resource_group."
