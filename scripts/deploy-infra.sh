#!/usr/bin/env bash
# Deploys the infrastructure of infra/main.bicep into a resource group.
#
# Usage: scripts/deploy-infra.sh (--environment NAME | --resource-group GROUP --parameters FILE) [options]
#        scripts/deploy-infra.sh --check [--update-compiled]
#
#   --environment NAME      staging or production: the resource group is rg-devicestate-NAME, the parameters are those of
#                           infra/NAME.bicepparam
#   --resource-group GROUP  another resource group
#   --parameters FILE       other parameters: a .bicepparam file that begins with using '…/infra/main.bicep'
#   --location REGION       region of a new resource group; with two regions use the standby's, and set param location
#                           in the parameters (docs/operate/failover.md)
#   --what-if               only show what would change
#   --check                 only check infra/ with Bicep's compiler: no error, no warning, formatted, and the same as what
#                           is kept in tests/deployment/infra/compiled; needs bicep (or az, which installs it) and Node.js,
#                           and no login
#   --update-compiled       with --check: write anew what is kept there, after a change of infra/
#
# The parameter files read the environment variables OPERATOR_PRINCIPAL_IDS and SENDER_PRINCIPAL_IDS: object ids separated
# by commas. If one is empty, the account that deploys is meant. The account that runs the smoke test must be an operator.
#
# Examples:
#   scripts/deploy-infra.sh --check
#   scripts/deploy-infra.sh --environment staging --what-if
#   scripts/deploy-infra.sh --environment staging --location westeurope
#   OPERATOR_PRINCIPAL_IDS=$(az ad group show --group operators --query id --output tsv) \
#     scripts/deploy-infra.sh --environment production
#
# Exit codes: 0 done, 1 failed, 2 could not start.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/check-infra.sh
source scripts/check-infra.sh

environment='' resource_group='' parameters='' location='' mode=create compiled=compare
while (($#)); do
  case $1 in
    --environment) environment=$(value "$@"); shift 2 ;;
    --resource-group) resource_group=$(value "$@"); shift 2 ;;
    --parameters) parameters=$(path "$@"); shift 2 ;;
    --location) location=$(value "$@"); shift 2 ;;
    --what-if) mode=what-if; shift ;;
    --check) mode=check; shift ;;
    --update-compiled) compiled=update; shift ;;
    -h | --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
if [[ $mode == check ]]; then check_infra "$compiled"; fi
[[ $compiled == compare ]] || cannot_start "the option --update-compiled needs --check"
need az

# Older versions build outputs of undeployed modules into expressions that Azure cannot evaluate. If Bicep is not installed,
# az installs it.
oldest_bicep=0.37.4
bicep=$(az bicep version 2>/dev/null | sed -n 's/.*version \([0-9.]*\).*/\1/p') || bicep=''
[[ -z $bicep ]] || is_at_least "$bicep" "$oldest_bicep" ||
  cannot_start "Bicep $bicep is too old, at least $oldest_bicep is required: run az bicep upgrade"

resource_group=$(resource_group "$resource_group" "$environment")
[[ -n $parameters$environment ]] || cannot_start "missing option: --environment NAME or --parameters FILE"
parameters=${parameters:-infra/$environment.bicepparam}
[[ -f $parameters ]] || cannot_start "the parameter file $parameters does not exist"
exists=$(az group exists --name "$resource_group") ||
  cannot_start "az cannot check whether $resource_group exists: run az login"
if [[ $exists != true && $mode == what-if ]]; then
  echo "The resource group $resource_group does not exist yet: all of infra/main.bicep would be new."
  exit
elif [[ $exists != true ]]; then
  [[ -n $location ]] || cannot_start "the resource group $resource_group does not exist yet: use --location REGION to create it"
  az group create --name "$resource_group" --location "$location" --output none ||
    failed "$resource_group could not be created"
fi

az deployment group "$mode" --resource-group "$resource_group" --name devicestate \
  --parameters "$parameters" --output none ||
  failed "az deployment group $mode failed for $resource_group"
[[ $mode == what-if ]] || echo "The infrastructure is deployed in $resource_group."
