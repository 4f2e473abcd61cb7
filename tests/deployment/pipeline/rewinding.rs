//! `scripts/rewind-checkpoints.sh`: the checkpoints that it deletes, and when it must not delete any.

use super::azure::{APP, Azure, STANDBY};

const SINCE: &str = "2026-11-21T09:30:00Z";

/// A deployment of two regions, whose apps own five partitions: two were read after `SINCE`, one at exactly that second, one
/// before, one never. There are also blobs of another consumer group.
fn read_by_both() -> Azure {
    let azure = Azure::deployed(&[
        ("EVENT_HUBS_NAMESPACE", "evhns-first.servicebus.windows.net"),
        ("EVENT_HUB_NAME", "Telemetry"),
        ("EVENT_HUB_CONSUMER_GROUP", "devicestate"),
        ("HOST_STORAGE_NAME", "sthostfirst"),
        ("STANDBY_FUNCTION_APP_NAME", STANDBY),
        ("STANDBY_EVENT_HUBS_NAMESPACE", "evhns-second.servicebus.windows.net"),
        ("STANDBY_HOST_STORAGE_NAME", "sthostsecond"),
    ]);
    let mut blobs = Vec::new();
    for namespace in ["evhns-first", "evhns-second"] {
        let hub = format!("{namespace}.servicebus.windows.net/telemetry");
        for (partition, to_source) in [(0, "09:45:00"), (1, "09:30:00"), (2, "09:29:59"), (10, "10:00:00")] {
            blobs.push(format!("{hub}/devicestate/checkpoint/{partition}\t2026-11-21T{to_source}+00:00\n"));
        }
        for partition in [0, 1, 2, 3, 10] {
            blobs.push(format!("{hub}/devicestate/ownership/{partition}\t2026-11-21T11:00:SS+00:00\n"));
        }
        blobs.push(format!("{hub}/devicestate2/checkpoint/0\t2026-11-21T09:45:00+00:00\n"));
    }
    azure.set("blobs.tsv", &blobs.concat());
    azure
}

/// Returns the az commands that changed something, in order, without their output options.
fn changes(azure: &Azure) -> Vec<String> {
    let log = azure.log("az.log");
    let changing =
        ["functionapp stop ", "functionapp start ", "functionapp config appsettings ", "storage blob delete "];
    let lines = log.lines().filter(|line| changing.iter().any(|change| line.starts_with(change)));
    lines.map(|line| line.split(" --output").next().unwrap_or(line).to_owned()).collect()
}

/// Returns the partitions of a namespace with a remaining checkpoint.
fn remaining(azure: &Azure, namespace: &str) -> Vec<String> {
    let prefix = format!("{namespace}.servicebus.windows.net/telemetry/devicestate/checkpoint/");
    let blobs = azure.log("blobs.tsv");
    let names = blobs.lines().filter_map(|line| line.split('\t').next()?.strip_prefix(&prefix));
    names.map(str::to_owned).collect()
}

#[test]
fn checkpoints_written_after_the_time_are_deleted_while_the_app_is_stopped() {
    let azure = read_by_both();
    let result = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", SINCE, "--every", "0"]);
    result.assert(0, &[]);
    let at = format!("--name {APP} --resource-group rg-devicestate-staging");
    let blob =
        "storage blob delete --account-name sthostfirst --auth-mode login --container-name azure-webjobs-eventhub";
    let checkpoint = "--name evhns-first.servicebus.windows.net/telemetry/devicestate/checkpoint";
    let option = "AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions";
    assert_eq!(
        changes(&azure),
        [
            format!("functionapp stop {at}"),
            format!("functionapp config appsettings set {at}"),
            format!("{blob} {checkpoint}/0"),
            format!("{blob} {checkpoint}/1"),
            format!("{blob} {checkpoint}/10"),
            format!("functionapp start {at}"),
        ]
    );
    let settings = format!("{option}__type=fromEnqueuedTime {option}__enqueuedTimeUtc=2026-11-21T09:30:00Z");
    assert!(azure.log("az.log").contains(&settings), "{}", azure.log("az.log"));
    assert_eq!(remaining(&azure, "evhns-first"), ["2"], "nothing was read there since");
    assert_eq!(remaining(&azure, "evhns-second").len(), 4, "the other app's are kept");
    assert!(azure.log("blobs.tsv").contains("evhns-first.servicebus.windows.net/telemetry/devicestate2/checkpoint/0"));
}

#[test]
fn the_standby_is_rewound_to_the_start_without_a_setting_that_would_skip_events() {
    let azure = read_by_both();
    let options = ["--environment", "staging", "--standby", "--to", "start", "--every", "0"];
    azure.run("rewind-checkpoints.sh", &options).assert(0, &[]);
    let changes = changes(&azure);
    assert!(changes[1].starts_with(&format!("functionapp config appsettings delete --name {STANDBY} ")), "{changes:?}");
    assert!(changes.iter().all(|change| !change.contains("appsettings set") && !change.contains("sthostfirst")));
    assert_eq!(remaining(&azure, "evhns-second").len(), 0);
    assert_eq!(remaining(&azure, "evhns-first").len(), 4);
}

#[test]
fn a_dry_run_lists_each_partition_and_changes_nothing() {
    let azure = read_by_both();
    let arguments = ["--environment", "staging", "--to", "2026-11-21T10:30:00+01:00", "--dry-run"];
    let result = azure.run("rewind-checkpoints.sh", &arguments);
    result.assert(0, &[]);
    let expected = "\
        PARTITION  CHECKPOINT WRITTEN (UTC)  ACTION\n\
        0          2026-11-21T09:45:00       read again from 2026-11-21T09:30:00\n\
        1          2026-11-21T09:30:00       read again from 2026-11-21T09:30:00\n\
        2          2026-11-21T09:29:59       kept: nothing was read since 2026-11-21T09:30:00\n\
        10         2026-11-21T10:00:00       read again from 2026-11-21T09:30:00\n\
        3          none                      starts at 2026-11-21T09:30:00\n";
    assert!(result.stdout.starts_with(expected), "{}", result.stdout);
    assert_eq!(changes(&azure), Vec::<String>::new());
}

/// A running instance would write its checkpoints again.
#[test]
fn while_an_instance_runs_nothing_is_deleted_and_the_app_is_started_again() {
    let azure = read_by_both();
    azure.set("running", "40\n");
    let result = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", SINCE, "--every", "0"]);
    result.assert(1, &["instances of func-devicestate-test still run", "nothing is deleted"]);
    let changes = changes(&azure);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[0].starts_with("functionapp stop ") && changes[1].starts_with("functionapp start "), "{changes:?}");

    azure.set("running", "6\n");
    azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", SINCE, "--every", "0"]).assert(0, &[]);
    assert_eq!(remaining(&azure, "evhns-first"), ["2"]);
}

#[test]
fn an_app_that_does_not_start_again_is_reported_with_the_command_that_starts_it() {
    let azure = read_by_both();
    azure.set("start-refused", "");
    let result = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", SINCE, "--every", "0"]);
    let command = format!("az functionapp start --name {APP} --resource-group rg-devicestate-staging");
    result.assert(1, &["IS STOPPED", &command]);
}

#[test]
fn a_reset_only_removes_the_settings() {
    let azure = read_by_both();
    azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--reset"]).assert(0, &[]);
    let changes = changes(&azure);
    assert_eq!(changes.len(), 1, "{changes:?}");
    let names = ["type", "enqueuedTimeUtc"]
        .map(|name| format!("AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions__{name}"));
    assert!(changes[0].ends_with(&format!("--setting-names {}", names.join(" "))), "{changes:?}");
    assert_eq!(remaining(&azure, "evhns-first").len(), 4);
}

/// A time without a zone could differ by hours, and events would be skipped.
#[test]
fn an_invalid_time_or_one_without_zone_or_in_the_future_is_rejected() {
    let azure = read_by_both();
    for to in ["2026-11-21T09:30:00", "yesterday", "2026-11-21", "2999-01-01T00:00:00Z", "2026-13-01T00:00:00Z"] {
        let result = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", to]);
        result.assert(2, &[to, "with its time zone"]);
    }
    azure.run("rewind-checkpoints.sh", &["--environment", "staging"]).assert(2, &["--to TIME", "--reset"]);
    assert_eq!(azure.log("az.log"), "");
}

#[test]
fn a_missing_permission_is_reported_before_anything_is_deleted() {
    let azure = read_by_both();
    azure.remove("key");
    let arguments = ["--environment", "staging", "--to", SINCE, "--every", "0"];
    azure.run("rewind-checkpoints.sh", &arguments).assert(1, &["could not be stopped", "Website Contributor"]);
    azure.remove("blobs.tsv");
    let words = ["Storage Blob Data Contributor", "azure-webjobs-eventhub"];
    azure.run("rewind-checkpoints.sh", &arguments).assert(2, &words);
    assert!(!azure.log("az.log").contains("storage blob delete"));
}

#[test]
fn a_deployment_of_one_region_has_no_standby_to_rewind() {
    let azure = Azure::deployed(&[]);
    let result = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--standby", "--to", "start"]);
    result.assert(2, &["no second region in rg-devicestate-staging", "standbyLocation"]);
}
