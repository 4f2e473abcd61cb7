#!/usr/bin/env bash
# Sends one event to a function app that runs, and follows it down to the state document.
#
# Usage: scripts/smoke-test.sh (--environment NAME | --resource-group GROUP) [options]
#        scripts/smoke-test.sh --url URL [options]
#
#   --environment NAME      staging, production: stands for the resource group rg-devicestate-NAME
#   --resource-group GROUP  another resource group
#   --no-drill              without the forced 503: for environments that set no RetryDrillDevice, as production
#   --url URL               the app's address, where it is not https:// with the host name of the deployment. Without a
#                           deployment it is an app of this machine (`func start`): no key is needed, documents are
#                           looked for by the settings of this shell, and there is no drill
#   --package DIR           where the command devicestate is, with which documents are read, instead of target/package
#   --deadline SECONDS      the longest wait for one thing, instead of 900: logs can be asked for after minutes only
#   --every SECONDS         the time between two looks, instead of 5
#
# The event goes to the host's admin endpoint, so it takes the way of every event but for Event Hubs. Its device has one
# document for ever, and its altitude is the time in milliseconds, which no run has twice: so what is found is of this
# run, and production's container does not fill with what tests have left.
#
# With the drill the device is the one that the app's setting RetryDrillDevice names. Its first attempt is answered with
# 503 on purpose, and the logs must show both: that attempt, and one with RetryCount 1 that applied the event.
#
# Examples:
#   scripts/smoke-test.sh --environment staging
#   scripts/smoke-test.sh --environment production --no-drill
#   StateStore=sqlite SqlitePath=state.db scripts/smoke-test.sh --url http://127.0.0.1:7071 --package target/release
#
# Exit codes: 0 it works, 1 it does not, 2 the test could not begin.
set -euo pipefail
caller=$PWD
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

environment='' resource_group='' url='' is_drill=true package=$PWD/target/package deadline=900 every=5
while (($#)); do
  case $1 in
    --environment) environment=$(value "$@"); shift 2 ;;
    --resource-group) resource_group=$(value "$@"); shift 2 ;;
    --no-drill) is_drill=false; shift ;;
    --url) url=$(value "$@"); shift 2 ;;
    --package) package=$(cd "$caller" && realpath "$(value "$@")"); shift 2 ;;
    --deadline) deadline=$(value "$@"); shift 2 ;;
    --every) every=$(value "$@"); shift 2 ;;
    --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
[[ -n $environment$resource_group || -n $url ]] ||
  cannot_begin "say where: --environment NAME, --resource-group GROUP, or --url URL"
[[ -n $environment$resource_group ]] || is_drill=false
need curl jq
[[ -f $package/devicestate ]] || cannot_begin "there is no devicestate in $package: scripts/package.sh makes one"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
errors=$scratch/errors answer=$scratch/answer
table=()
proved() { table+=("$1" "$2"); }

# Looks again and again until a command succeeds. Arguments: what is waited for, the command. False when it never does.
wait_for() {
  local what=$1 until=$((SECONDS + deadline))
  shift
  printf 'waiting for %s ' "$what"
  until "$@"; do
    printf .
    ((SECONDS < until)) || { echo; return 1; }
    sleep "$every"
  done
  echo
}

# ---- what there is ----

device=smoke-test key=''
logs() { az monitor log-analytics query --workspace "$workspace" --analytics-query "$1" --output json; }

if [[ -n $environment$resource_group ]]; then
  need az
  # The query is in an extension of az.
  export AZURE_EXTENSION_USE_DYNAMIC_INSTALL=yes_without_prompt
  resource_group=$(resource_group "$resource_group" "$environment")
  outputs=$(deployment_outputs "$resource_group")
  app=$(output "$outputs" AZURE_FUNCTION_APP_NAME)
  url=${url:-https://$(output "$outputs" AZURE_FUNCTION_APP_HOST_NAME)}
  key=$(az functionapp keys list --name "$app" --resource-group "$resource_group" --query masterKey --output tsv) ||
    cannot_begin "the master key of $app is not given out: it takes a role such as Website Contributor"
  CosmosConnection__accountEndpoint=$(output "$outputs" COSMOS_ENDPOINT)
  CosmosDatabase=$(output "$outputs" COSMOS_DATABASE)
  CosmosContainer=$(output "$outputs" COSMOS_CONTAINER)
  export CosmosConnection__accountEndpoint CosmosDatabase CosmosContainer
  export StateStore=cosmos CosmosConnection__credential=developer
  unset CosmosConnection CosmosConnection__clientId
fi
if $is_drill; then
  device=$(az functionapp config appsettings list --name "$app" --resource-group "$resource_group" \
    --query "[?name=='RetryDrillDevice'].value" --output tsv) || cannot_begin "the settings of $app cannot be read"
  [[ -n $device ]] || cannot_begin "$app has no setting RetryDrillDevice: set it, or give --no-drill"
  workspace=$(output "$outputs" LOG_ANALYTICS_WORKSPACE_ID)
  # Now and not in the end: a missing role shows at once, and a pipeline's login gets its token while it may.
  logs 'print ready = true' >"$answer" ||
    cannot_begin "the logs of $app cannot be asked: it takes the role Log Analytics Reader"
fi

document() { "$package/devicestate" state show "$device" --format json 2>"$errors"; }
altitude() { document | jq '.Altitude'; }
before=$(altitude) || [[ $(<"$errors") == *"there is no document"* ]] ||
  cannot_begin "the documents cannot be read: $(<"$errors")"

# ---- the event ----

sent=$(jq --null-input 'now * 1000 | floor')
since=$(jq --null-input --raw-output 'now - 10 | todate') # Clocks differ a little; two runs are further apart.
event=$(jq --null-input --compact-output --arg device "$device" --argjson altitude "$sent" \
  '{deviceId: $device, battery: 0.75, position: {altitude: $altitude}}')
input=$(jq --null-input --arg event "$event" '{input: $event}')
send() {
  local status
  # The key comes by a file descriptor, where no list of processes shows it.
  status=$(curl --silent --show-error --max-time 60 --output "$answer" --write-out '%{http_code}' --data "$input" \
    --header 'Content-Type: application/json' --header @<(printf 'x-functions-key: %s' "$key") \
    "$url/admin/functions/RawTelemetryFunction" 2>"$errors") || status="no answer: $(<"$errors")"
  if [[ $status == 40[013] ]]; then
    echo
    failed "$url refuses the event with status $status: is that the app, and the key its master key?"
  fi
  [[ $status == 202 ]]
}
wait_for "the host, which takes the event" send ||
  failed "the admin endpoint of $url did not take the event within $deadline s"
proved "the host took the event" "$url"

# ---- its document ----

is_there() { document | jq --exit-status --argjson sent "$sent" '.Altitude == $sent' >/dev/null; }
wait_for "the document of $device" is_there ||
  failed "the document of $device did not come within $deadline s; its altitude is ${before:-none} and should be" \
    "$sent. The event was sent once: the function's log says what became of it, and the dead-letter queue may hold it"
document | jq --exit-status '.Battery == 0.75' >/dev/null ||
  failed "the document came with a wrong battery: $(document)"
proved "its document is there" "$device: altitude $sent (before: ${before:-none}), battery 0.75"

# ---- the forced 503 ----

# What came through the admin endpoint has no partition, and each attempt there is an invocation of its own
# (JobHost.CallAsync of the WebJobs SDK): so the two attempts of this run are known by time and reason.
query="AppTraces
| where TimeGenerated > datetime($since)
| where Message contains 'the batch is to be sent again' or Message contains '\"record\":\"batch\"'
| extend said = parse_json(Message)
| where isempty(tostring(said.partitionId)) and isempty(tostring(said.partition_id))
| project Message, Invocation = tostring(Properties.InvocationId)"
# shellcheck disable=SC2016 # The dollars are jq's.
verdict='[.[] | ((.Message | fromjson?) // {}) + {Invocation}] as $lines
  | [$lines[] | select(.attempt == 1 and ((.reason // "") | contains("RetryDrillDevice"))) | .invocation_id] as $failed
  | [$lines[] | select(.record == "batch")] as $batches
  | [$batches[] | select(.attempt == 2 and .events == 1 and .applied == 1) | .Invocation] as $repeated
  | ($failed | length), ([$batches[] | select(.attempt == 1)] | length), $failed[-1] // "", $repeated[-1] // ""'
is_repeated() {
  { read -r failed && read -r at_once && read -r first && read -r second; } \
    < <(logs "$query" 2>"$errors" | jq --raw-output "$verdict") && [[ -n $first && -n $second ]]
}
if $is_drill; then
  failed='no answer' at_once='no answer' first='' second=''
  wait_for "the logs of the forced 503" is_repeated ||
    failed "the document came, but within $deadline s the logs told of no attempt that was failed and then repeated." \
      "They tell of failed first attempts: $failed; of batches applied in their first attempt: $at_once. Does" \
      "function.json have its retry policy, and does the host repeat? $(<"$errors")"
  proved "attempt 1 was answered 503" "invocation $first"
  proved "attempt 2 applied it: RetryCount 1" "invocation $second"
fi

echo
printf '%-36s %s\n' "${table[@]}"
