#!/usr/bin/env bash
# Has a function app read its hub again from a time on, or from the start: stops it, deletes checkpoints, starts it.
# Each reading carries the version of its event, so what was read before overwrites nothing newer. docs/operate/failover.md says
# when, and from which time.
#
# Usage: scripts/rewind-checkpoints.sh (--environment NAME | --resource-group GROUP) (--to TIME | --reset) [options]
#
#   --environment NAME      staging, production: stands for the resource group rg-devicestate-NAME
#   --resource-group GROUP  another resource group
#   --standby               the app of the standby region, instead of the first one's
#   --to TIME               a time of arrival in the hub, such as 2026-11-21T09:30:00Z: before that of the first event
#                           that is to be read again. Or the word start, for all that the hub keeps
#   --dry-run               only tell what would be done
#   --reset                 only take back the settings that --to TIME leaves behind, when the app reads again
#   --every SECONDS         the time in which nobody may touch the partitions, instead of 60: the app counts as stopped then
#
# A checkpoint that was last written before TIME stays: nothing has been read there since, and to begin at TIME could pass
# over events that were not read yet. For the same reason TIME must be early enough for partitions that lag. A partition
# without a checkpoint begins at TIME, too, until --reset or the next deployment: where one has been stuck since its first
# event, take --to start.
#
# It needs az, logged in as somebody with Website Contributor on the function app, and with Storage Blob Data Contributor
# on the container of the checkpoints, which operatorPrincipalIds of infra/ have.
#
# Examples:
#   scripts/rewind-checkpoints.sh --environment production --to 2026-11-21T09:30:00Z --dry-run
#   scripts/rewind-checkpoints.sh --environment production --standby --to start
#   scripts/rewind-checkpoints.sh --environment production --reset
#
# Exit codes: 0 done, 1 failed, 2 could not begin.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The container of the Event Hubs extension, and the settings that take precedence over initialOffsetOptions of host.json.
container=azure-webjobs-eventhub
options=AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions
settings=("${options}__type" "${options}__enqueuedTimeUtc")
# So many looks until the app counts as one that does not stop.
looks=10

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
[[ $mode == reset || -n $to ]] || cannot_begin "say from when: --to TIME, --to start; or --reset"
need az node

# As Storage writes its times, to the second and in UTC, so that they compare as texts. Not without a zone: a guess could
# pass over hours of events.
since=start
if [[ $mode != reset && $to != start ]]; then
  since=$(node -e '
    const [text] = process.argv.slice(1);
    const time = new Date(/T.*(Z|[+-]\d\d:\d\d)$/.test(text) ? text : NaN);
    if (Number.isNaN(time.getTime()) || time > new Date()) process.exit(1);
    console.log(time.toISOString().slice(0, 19));' -- "$to") ||
    cannot_begin "--to needs a time that is past, with its zone, such as 2026-11-21T09:30:00Z, and $to is none"
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
  reset || failed "the settings of $app could not be taken back"
  echo "$app begins partitions without a checkpoint as host.json says."
  exit
fi

account=$(output "${region}HOST_STORAGE_NAME")
namespace=$(output "${region}EVENT_HUBS_NAMESPACE")
hub=$(output EVENT_HUB_NAME)
group=$(output EVENT_HUB_CONSUMER_GROUP)
# As the extension writes it: in lower case.
prefix=$(node -p 'process.argv[1].toLowerCase()' -- "$namespace/$hub/$group")

# The blobs of a kind, checkpoint or ownership: partition, name, and when each was written last.
blobs() {
  local listed name written
  listed=$(az storage blob list --account-name "$account" --auth-mode login --container-name "$container" \
    --prefix "$prefix/$1/" --num-results '*' --query '[].[name, properties.lastModified]' --output tsv) || return
  while read -r name written; do
    [[ -z $name ]] || printf '%s %s %s\n' "${name##*/}" "$name" "${written:0:19}"
  done <<<"$listed" | sort -n
}

checkpoints=$(blobs checkpoint) ||
  cannot_begin "the checkpoints in $account cannot be read: it takes the role Storage Blob Data Contributor on $container"
owners=$(blobs ownership) || cannot_begin "the partitions in $account cannot be read"

# What becomes of each partition, as a table, and of which checkpoints nothing must be left.
delete=()
row() { printf '%-9s  %-24s  %s\n' "$@"; }
row PARTITION 'CHECKPOINT WRITTEN (UTC)' THEN
while read -r partition name written; do
  if [[ -z $partition ]]; then
    continue
  elif [[ $since != start && $written < $since ]]; then
    row "$partition" "$written" "stays: nothing was read since $since"
  else
    row "$partition" "$written" "is read again from $since"
    delete+=("$name")
  fi
done <<<"$checkpoints"
while read -r partition name written; do
  [[ -z $partition || $'\n'$checkpoints == *$'\n'"$partition "* ]] || row "$partition" none "begins at $since, too"
done <<<"$owners"
echo
if [[ $mode == dry-run ]]; then
  echo "A dry run: $app reads on as before."
  exit
fi
((${#delete[@]})) || { echo "$app has nothing to read again."; exit; }

az functionapp stop "${of_app[@]}" --output none || failed "$app could not be stopped: it takes Website Contributor"
# Whatever comes: nobody is left with an app that is stopped.
restart() {
  az functionapp start "${of_app[@]}" --output none ||
    { complain "$app IS STOPPED: az functionapp start ${of_app[*]}"; return 1; }
}
trap restart EXIT

# An instance that still runs would write a new checkpoint over what is deleted. Owners are renewed every half minute.
touched() { blobs ownership && blobs checkpoint; }
before=''
after=$(touched) || failed "the partitions in $account cannot be read"
while [[ $before != "$after" ]]; do
  ((looks--)) ||
    failed "instances of $app still run, and nothing is deleted: in an outage they end only when they are killed. Once more?"
  sleep "$every"
  before=$after
  after=$(touched) || failed "the partitions in $account cannot be read"
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
echo "$app reads ${#delete[@]} partitions again from $since. When it has, take back the settings with --reset."
