#!/usr/bin/env bash
# Deploys the infrastructure of infra/main.bicep into a resource group, with the parameters of infra/ENVIRONMENT.bicepparam.
#
# Usage: scripts/deploy-infra.sh --environment NAME [options]
#        scripts/deploy-infra.sh --check
#
#   --environment NAME      staging, production, or any other that has a parameter file
#   --resource-group GROUP  instead of rg-devicestate-NAME
#   --location REGION       where to make the resource group when there is none
#   --operators IDS         object ids, separated by commas, in place of operatorPrincipalIds of the parameter file: who
#                           may read documents and work on dead letters
#   --what-if               only tell what would change
#   --check                 only build and lint the templates and the parameter files: needs no login
#
# Examples:
#   scripts/deploy-infra.sh --check
#   scripts/deploy-infra.sh --environment staging --what-if
#   scripts/deploy-infra.sh --environment staging --location westeurope \
#     --operators "$(az ad signed-in-user show --query id --output tsv)"
#
# Exit codes: 0 done, 1 failed, 2 could not begin.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

environment='' resource_group='' location='' operators='' mode=create
while (($#)); do
  case $1 in
    --environment) environment=$(value "$@"); shift 2 ;;
    --resource-group) resource_group=$(value "$@"); shift 2 ;;
    --location) location=$(value "$@"); shift 2 ;;
    # Empty is what a pipeline's variable is that nobody has set.
    --operators) operators=${2-}; shift $(($# < 2 ? 1 : 2)) ;;
    --what-if) mode=what-if; shift ;;
    --check) mode=check; shift ;;
    --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
need az

if [[ $mode == check ]]; then
  az bicep build --file infra/main.bicep --stdout >/dev/null || failed "infra/main.bicep does not build"
  az bicep lint --file infra/main.bicep || failed "infra/main.bicep does not pass its lints"
  for parameters in infra/*.bicepparam; do
    az bicep build-params --file "$parameters" --stdout >/dev/null || failed "$parameters does not build"
  done
  exit
fi

[[ -n $environment ]] || cannot_begin "say which: --environment NAME"
[[ -f $(parameter_file "$environment") ]] || cannot_begin "the environment $environment has no $(parameter_file "$environment")"
resource_group=${resource_group:-$(default_resource_group "$environment")}
arguments=(--resource-group "$resource_group" --name "$(deployment_name "$environment")"
  --parameters "$(parameter_file "$environment")")
if [[ -n $operators ]]; then
  need jq
  arguments+=(--parameters "operatorPrincipalIds=$(jq --null-input --compact-output --arg ids "$operators" '$ids | split(",")')")
fi

exists=$(az group exists --name "$resource_group") || cannot_begin "az does not say whether there is $resource_group: az login?"
if [[ $exists != true && $mode == what-if ]]; then
  echo "There is no resource group $resource_group yet: all of infra/main.bicep would be new."
  exit
elif [[ $exists != true ]]; then
  [[ -n $location ]] || cannot_begin "there is no resource group $resource_group yet: say where with --location REGION"
  az group create --name "$resource_group" --location "$location" --output none || failed "$resource_group could not be made"
fi

az deployment group "$mode" "${arguments[@]}" --output "$([[ $mode == create ]] && echo none || echo table)" ||
  failed "$mode of $environment in $resource_group failed"
[[ $mode == what-if ]] || echo "The infrastructure of $environment is in $resource_group."
