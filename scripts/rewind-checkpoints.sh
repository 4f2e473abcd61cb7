#!/usr/bin/env bash
# Rewinds a function app: it reads its hub again from a time, or from the start. Stops the app, deletes checkpoints, and
# starts the app. Each reading has the version of its event, so events that are read again overwrite nothing newer. See
# docs/operate/failover.md for when to use it, and for the time.
#
# Usage: scripts/rewind-checkpoints.sh (--environment NAME | --resource-group GROUP) (--to TIME | --reset) [options]
#
#   --environment NAME      staging or production: the resource group is rg-devicestate-NAME
#   --resource-group GROUP  another resource group
#   --standby               rewind the standby region's app, instead of the first region's
#   --to TIME               an enqueued time, such as 2026-11-21T09:30:00Z, not later than that of the first event to
#                           read again; or the word start, for all events in the hub
#   --dry-run               only show what would be done
#   --reset                 only remove the settings that --to TIME sets, after the app has read the events
#   --every SECONDS         after this time without a change of the partitions, the app counts as stopped [default: 60]
#
# A checkpoint that was last written before TIME is kept: nothing has been read there since, and starting at TIME could skip
# unread events. For the same reason TIME must be early enough for partitions that lag. A partition without a checkpoint
# also starts at TIME, until --reset or the next deployment: if one has been stuck since its first event, use --to start.
#
# Requires az, logged in with the roles Website Contributor on the function app and Storage Blob Data Contributor on the
# container of the checkpoints. The operatorPrincipalIds of infra/ have both.
#
# Examples:
#   scripts/rewind-checkpoints.sh --environment production --to 2026-11-21T09:30:00Z --dry-run
#   scripts/rewind-checkpoints.sh --environment production --standby --to start
#   scripts/rewind-checkpoints.sh --environment production --reset
#
# Exit codes: 0 done, 1 failed, 2 could not start.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The container of the Event Hubs extension, and the settings that take precedence over initialOffsetOptions of host.json.
container=azure-webjobs-eventhub
options=AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions
settings=("${options}__type" "${options}__enqueuedTimeUtc")
# How often the partitions are polled before the app counts as one that does not stop.
polls=10

environment='' resource_group='' region='' to='' mode=rewind every=60
while (($#)); do
  case $1 in
    --environment) environment=$(value "$@"); shift 2 ;;
    --resource-group) resource_group=$(value "$@"); shift 2 ;;
    --standby) region=STANDBY_; shift ;;
    --to) to=$(value "$@"); shift 2 ;;
    --dry-run) mode=dry-run; shift ;;
    --reset) mode=reset; shift ;;
    --every) every=$(value "$@"); shift 2 ;;
    -h | --help) help; exit ;;
    *) unknown_option "$1" ;;
  esac
done
resource_group=$(resource_group "$resource_group" "$environment")
[[ $mode == reset || -n $to ]] || cannot_start "missing option: --to TIME, --to start or --reset"
need az node

# In the format of Storage, in UTC and to the second, so that times compare as text. A time zone is required: a guess could
# skip hours of events.
since=start
if [[ $mode != reset && $to != start ]]; then
  since=$(node -e '
    const [text] = process.argv.slice(1);
    const time = new Date(/T.*(Z|[+-]\d\d:\d\d)$/.test(text) ? text : NaN);
    if (Number.isNaN(time.getTime()) || time > new Date()) process.exit(1);
    console.log(time.toISOString().slice(0, 19));' -- "$to") ||
    cannot_start "--to must be a past time with its time zone, such as 2026-11-21T09:30:00Z, not \"$to\""
fi

output() { node scripts/deployment.js "$resource_group" "$@"; }
if [[ -n $region ]]; then
  app=$(output STANDBY_FUNCTION_APP_NAME)
else
  app=$(output AZURE_FUNCTION_APP_NAME)
fi
of_app=(--name "$app" --resource-group "$resource_group")

reset() { az functionapp config appsettings delete "${of_app[@]}" --setting-names "${settings[@]}" --output none; }
if [[ $mode == reset ]]; then
  reset || failed "the settings of $app could not be removed: the role Website Contributor is required"
  echo "$app starts partitions without a checkpoint as host.json defines."
  exit
fi

account=$(output "${region}HOST_STORAGE_NAME")
namespace=$(output "${region}EVENT_HUBS_NAMESPACE")
hub=$(output EVENT_HUB_NAME)
group=$(output EVENT_HUB_CONSUMER_GROUP)
# In lower case, as the extension writes it.
prefix=$(node -p 'process.argv[1].toLowerCase()' -- "$namespace/$hub/$group")

# Lists the blobs of a kind, checkpoint or ownership: partition, name, and last write.
blobs() {
  local listed name written
  listed=$(az storage blob list --account-name "$account" --auth-mode login --container-name "$container" \
    --prefix "$prefix/$1/" --num-results '*' --query '[].[name, properties.lastModified]' --output tsv) || return
  while read -r name written; do
    [[ -z $name ]] || printf '%s %s %s\n' "${name##*/}" "$name" "${written:0:19}"
  done <<<"$listed" | sort -n
}

checkpoints=$(blobs checkpoint) ||
  cannot_start "the checkpoints in $account cannot be read: the role Storage Blob Data Contributor on $container is required"
owners=$(blobs ownership) || cannot_start "the partitions in $account cannot be read"

# Prints what happens to each partition, and collects the checkpoints to delete.
delete=()
row() { printf '%-9s  %-24s  %s\n' "$@"; }
row PARTITION 'CHECKPOINT WRITTEN (UTC)' ACTION
while read -r partition name written; do
  if [[ -z $partition ]]; then
    continue
  elif [[ $since != start && $written < $since ]]; then
    row "$partition" "$written" "kept: nothing was read since $since"
  else
    row "$partition" "$written" "read again from $since"
    delete+=("$name")
  fi
done <<<"$checkpoints"
while read -r partition name written; do
  [[ -z $partition || $'\n'$checkpoints == *$'\n'"$partition "* ]] || row "$partition" none "starts at $since"
done <<<"$owners"
echo
if [[ $mode == dry-run ]]; then
  echo "Dry run: nothing changed. Run again without --dry-run to apply."
  exit
fi
((${#delete[@]})) || { echo "$app has nothing to read again."; exit; }

az functionapp stop "${of_app[@]}" --output none || failed "$app could not be stopped: the role Website Contributor is required"
# Starts the app again even after a failure.
restart() {
  az functionapp start "${of_app[@]}" --output none ||
    { report_error "$app IS STOPPED: run az functionapp start ${of_app[*]}"; return 1; }
}
trap restart EXIT

# A running instance would write a new checkpoint after the deletion. Owners are renewed every 30 seconds.
last_writes() { blobs ownership && blobs checkpoint; }
before=''
after=$(last_writes) || failed "the partitions in $account cannot be read"
while [[ $before != "$after" ]]; do
  ((polls--)) ||
    failed "instances of $app still run, and nothing is deleted: run this again. In an outage they stop only when they are killed"
  sleep "$every"
  before=$after
  after=$(last_writes) || failed "the partitions in $account cannot be read"
done

if [[ $since == start ]]; then
  reset
else
  az functionapp config appsettings set "${of_app[@]}" --output none \
    --settings "${settings[0]}=fromEnqueuedTime" "${settings[1]}=${since}Z"
fi || failed "the settings of $app could not be changed, and nothing is deleted"
for name in "${delete[@]}"; do
  az storage blob delete --account-name "$account" --auth-mode login --container-name "$container" --name "$name" \
    --output none || failed "$name could not be deleted: run this again"
done
restart || exit
trap - EXIT
partitions=partitions
((${#delete[@]} != 1)) || partitions=partition
echo "$app reads ${#delete[@]} $partitions again from $since. After that, remove the settings with --reset."
