//! `scripts/rewind-checkpoints.sh`: which checkpoints it deletes, and when it must not.

use super::azure::{APP, Azure, STANDBY};

const SINCE: &str = "2026-11-21T09:30:00Z";

/// A deployment of two regions, whose apps have read five partitions: two of them since that time, one at the very
/// second, one before; one never. The blobs of another consumer group lie beside them.
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
        for (partition, written) in [(0, "09:45:00"), (1, "09:30:00"), (2, "09:29:59"), (10, "10:00:00")] {
            blobs.push(format!("{hub}/devicestate/checkpoint/{partition}\t2026-11-21T{written}+00:00\n"));
        }
        for partition in [0, 1, 2, 3, 10] {
            blobs.push(format!("{hub}/devicestate/ownership/{partition}\t2026-11-21T11:00:SS+00:00\n"));
        }
        blobs.push(format!("{hub}/devicestate2/checkpoint/0\t2026-11-21T09:45:00+00:00\n"));
    }
    azure.knows("blobs.tsv", &blobs.concat());
    azure
}

/// What changed something on Azure, in order, without what is said of it.
fn changes(azure: &Azure) -> Vec<String> {
    let log = azure.log("az.log");
    let changing =
        ["functionapp stop ", "functionapp start ", "functionapp config appsettings ", "storage blob delete "];
    let lines = log.lines().filter(|line| changing.iter().any(|change| line.starts_with(change)));
    lines.map(|line| line.split(" --output").next().unwrap_or(line).to_owned()).collect()
}

/// The partitions of a namespace that have a checkpoint left.
fn left(azure: &Azure, namespace: &str) -> Vec<String> {
    let prefix = format!("{namespace}.servicebus.windows.net/telemetry/devicestate/checkpoint/");
    let blobs = azure.log("blobs.tsv");
    let names = blobs.lines().filter_map(|line| line.split('\t').next()?.strip_prefix(&prefix));
    names.map(str::to_owned).collect()
}

#[test]
fn only_checkpoints_that_were_written_since_are_deleted_while_the_app_is_stopped() {
    let azure = read_by_both();
    let ended = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", SINCE, "--every", "0"]);
    ended.assert(0, &[]);
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
    assert_eq!(left(&azure, "evhns-first"), ["2"], "nothing was read there since");
    assert_eq!(left(&azure, "evhns-second").len(), 4, "another app's");
    assert!(azure.log("blobs.tsv").contains("evhns-first.servicebus.windows.net/telemetry/devicestate2/checkpoint/0"));
}

#[test]
fn the_standby_is_rewound_to_the_start_without_a_setting_that_would_pass_over_events() {
    let azure = read_by_both();
    let options = ["--environment", "staging", "--standby", "--to", "start", "--every", "0"];
    azure.run("rewind-checkpoints.sh", &options).assert(0, &[]);
    let changes = changes(&azure);
    assert!(changes[1].starts_with(&format!("functionapp config appsettings delete --name {STANDBY} ")), "{changes:?}");
    assert!(changes.iter().all(|change| !change.contains("appsettings set") && !change.contains("sthostfirst")));
    assert_eq!(left(&azure, "evhns-second").len(), 0);
    assert_eq!(left(&azure, "evhns-first").len(), 4);
}

#[test]
fn a_dry_run_tells_of_each_partition_and_changes_nothing() {
    let azure = read_by_both();
    let arguments = ["--environment", "staging", "--to", "2026-11-21T10:30:00+01:00", "--dry-run"];
    let ended = azure.run("rewind-checkpoints.sh", &arguments);
    ended.assert(0, &[]);
    let expected = "\
        PARTITION  CHECKPOINT WRITTEN (UTC)  THEN\n\
        0          2026-11-21T09:45:00       is read again from 2026-11-21T09:30:00\n\
        1          2026-11-21T09:30:00       is read again from 2026-11-21T09:30:00\n\
        2          2026-11-21T09:29:59       stays: nothing was read since 2026-11-21T09:30:00\n\
        10         2026-11-21T10:00:00       is read again from 2026-11-21T09:30:00\n\
        3          none                      begins at 2026-11-21T09:30:00, too\n";
    assert!(ended.said.starts_with(expected), "{}", ended.said);
    assert_eq!(changes(&azure), Vec::<String>::new());
}

/// It would write its checkpoints over those that are deleted.
#[test]
fn as_long_as_an_instance_runs_nothing_is_deleted_and_the_app_is_started_again() {
    let azure = read_by_both();
    azure.knows("running", "40\n");
    let ended = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", SINCE, "--every", "0"]);
    ended.assert(1, &["instances of func-devicestate-test still run", "nothing is deleted"]);
    let changes = changes(&azure);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[0].starts_with("functionapp stop ") && changes[1].starts_with("functionapp start "), "{changes:?}");

    azure.knows("running", "6\n");
    azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", SINCE, "--every", "0"]).assert(0, &[]);
    assert_eq!(left(&azure, "evhns-first"), ["2"]);
}

#[test]
fn an_app_that_does_not_start_again_is_told_with_the_command_that_starts_it() {
    let azure = read_by_both();
    azure.knows("start-refused", "");
    let ended = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", SINCE, "--every", "0"]);
    let command = format!("az functionapp start --name {APP} --resource-group rg-devicestate-staging");
    ended.assert(1, &["IS STOPPED", &command]);
}

#[test]
fn the_settings_are_taken_back_and_nothing_else() {
    let azure = read_by_both();
    azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--reset"]).assert(0, &[]);
    let changes = changes(&azure);
    assert_eq!(changes.len(), 1, "{changes:?}");
    let names = ["type", "enqueuedTimeUtc"]
        .map(|name| format!("AzureFunctionsJobHost__extensions__eventHubs__initialOffsetOptions__{name}"));
    assert!(changes[0].ends_with(&format!("--setting-names {}", names.join(" "))), "{changes:?}");
    assert_eq!(left(&azure, "evhns-first").len(), 4);
}

/// Without a zone it could be meant hours later, and the events between would be passed over.
#[test]
fn a_time_that_is_none_or_has_no_zone_or_is_not_past_is_refused() {
    let azure = read_by_both();
    for to in ["2026-11-21T09:30:00", "yesterday", "2026-11-21", "2999-01-01T00:00:00Z", "2026-13-01T00:00:00Z"] {
        let ended = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--to", to]);
        ended.assert(2, &[to, "with its zone"]);
    }
    azure.run("rewind-checkpoints.sh", &["--environment", "staging"]).assert(2, &["--to TIME", "--reset"]);
    assert_eq!(azure.log("az.log"), "");
}

#[test]
fn a_missing_right_is_told_before_anything_is_deleted() {
    let azure = read_by_both();
    azure.knows_no("key");
    let arguments = ["--environment", "staging", "--to", SINCE, "--every", "0"];
    azure.run("rewind-checkpoints.sh", &arguments).assert(1, &["could not be stopped", "Website Contributor"]);
    azure.knows_no("blobs.tsv");
    let words = ["Storage Blob Data Contributor", "azure-webjobs-eventhub"];
    azure.run("rewind-checkpoints.sh", &arguments).assert(2, &words);
    assert!(!azure.log("az.log").contains("storage blob delete"));
}

#[test]
fn a_deployment_of_one_region_has_no_standby_to_rewind() {
    let azure = Azure::deployed(&[]);
    let ended = azure.run("rewind-checkpoints.sh", &["--environment", "staging", "--standby", "--to", "start"]);
    ended.assert(2, &["no second region in rg-devicestate-staging", "standbyLocation"]);
}
