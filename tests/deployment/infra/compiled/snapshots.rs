//! Compares snapshots, which are what a deployment with these parameters contains, with the reader's app settings and with the
//! queries that `scripts/alerts/deployed.js` runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::super::{
    app_settings::{App, PLACEHOLDERS, STANDBY_LOCATION, app_settings},
    bicep::Value,
    sources::{Sources, assert_detected, assert_no_faults},
};

/// What a deployment contains.
pub(super) struct Snapshot {
    pub(super) name: String,
    /// The text of its parameter file.
    pub(super) parameters: String,
    pub(super) json: Json,
}

impl Snapshot {
    /// Returns where the reader and the snapshot differ.
    pub(super) fn faults(&self, sources: &Sources) -> Vec<String> {
        let sources = with_parameters(sources, &self.parameters);
        let faults = self.setting_faults(&sources).into_iter().chain(self.query_faults(&sources));
        faults.map(|fault| format!("snapshot {}: {fault}", self.name)).collect()
    }

    fn resources(&self, type_name: &str) -> impl Iterator<Item = &Json> {
        let all = self.json["predictedResources"].as_array().into_iter().flatten();
        all.filter(move |resource| resource["type"] == type_name)
    }

    /// Compares the app settings: their names, and the values that are known before the deployment.
    fn setting_faults(&self, sources: &Sources) -> Vec<String> {
        let templates = sources.templates();
        let mut faults = Vec::new();
        let mut apps = BTreeSet::new();
        for json in self.resources("Microsoft.Web/sites/config") {
            let app = self.app(json);
            apps.insert(format!("{app:?}"));
            let settings = app_settings(&templates, app);
            let compiled = json["properties"].as_object().cloned().unwrap_or_default();
            for (name, value) in &compiled {
                match settings.get(name) {
                    None => faults.push(format!("{app:?}: the reader has no setting {name}")),
                    Some(known) if PLACEHOLDERS.contains(&known.as_str()) || value == known.as_str() => {}
                    Some(known) => faults.push(format!("{app:?}: {name} is {known:?} for the reader, but {value}")),
                }
            }
            let missing = settings.keys().filter(|name| !compiled.contains_key(*name));
            faults.extend(missing.map(|name| format!("{app:?}: only the reader has the setting {name}")));
        }
        if apps.len() != self.regions() {
            faults.push(format!("it has the apps {apps:?} in {} regions", self.regions()));
        }
        faults
    }

    /// Compares the queries of the alerts and of the saved searches. `condense.mjs` names a query only if its text is the one that
    /// `scripts/alerts/deployed.js` composes.
    fn query_faults(&self, sources: &Sources) -> Vec<String> {
        let templates = sources.templates();
        let retention = templates[0].param("retentionHours");
        let Some(Value::Number(retention)) = retention.and_then(|param| param.default.as_ref()) else {
            panic!("retentionHours is a number")
        };
        let query =
            |window: &str, name: &str| format!("window {window}, retention {retention}h, records.kql, {name}.kql");
        let alerts = sources.json("infra/alerts.json");
        let alerts = alerts.as_array().expect("alerts").iter().filter_map(|alert| {
            let window = alert["window"].as_str()?.strip_prefix("PT")?.to_lowercase();
            Some((alert["name"].as_str()?.to_owned(), query(&window, alert["query"].as_str()?)))
        });
        let names = sources.below("infra/queries").filter_map(|(path, _)| path.file_stem()?.to_str());
        let saved = names.filter(|name| *name != "records").map(|name| (name.to_owned(), query("15m", name)));
        [
            (
                true,
                "Microsoft.Insights/scheduledQueryRules",
                "/properties/criteria/allOf/0/query",
                alerts.collect::<BTreeMap<_, _>>(),
            ),
            (false, "Microsoft.OperationalInsights/workspaces/savedSearches", "/properties/query", saved.collect()),
        ]
        .into_iter()
        .flat_map(|(is_alert, type_name, path, expected)| {
            let mut faults = Vec::new();
            let mut found: BTreeMap<&str, usize> = BTreeMap::new();
            for json in self.resources(type_name) {
                let name = json["name"].as_str().unwrap_or_default();
                let name = name.rsplit_once("devicestate-").map_or(name, |(_, name)| name);
                // An alert's name ends with the region's token.
                let name = if is_alert { name.rsplit_once('-').map_or(name, |(name, _)| name) } else { name };
                let own = expected.keys().find(|own| name == **own);
                let text = json.pointer(path).and_then(Json::as_str).unwrap_or_default();
                match own {
                    Some(own) if expected[own] == text => *found.entry(own).or_default() += 1,
                    Some(own) => faults.push(format!("{own} is {:?} in infra/, but {text:?}", expected[own])),
                    None => faults.push(format!("infra/ has no {name}")),
                }
            }
            let missing = expected.keys().filter(|name| found.get(name.as_str()) != Some(&self.regions()));
            faults.extend(missing.map(|name| format!("{type_name} {name} is not in each region")));
            faults
        })
        .collect()
    }

    fn has(&self, line: &str) -> bool {
        self.parameters.lines().any(|own| own == line)
    }

    /// Returns the number of regions with a function app.
    fn regions(&self) -> usize {
        let is_single = self.has("param eventSource = 'iotHub'") || self.has("param privateNetwork = true");
        if self.parameters.contains("param standbyLocation = ") && !is_single { 2 } else { 1 }
    }

    /// Returns the app of these settings.
    fn app(&self, settings: &Json) -> App {
        let id = settings["id"].as_str().unwrap_or_default().trim_end_matches("/config/appsettings");
        let site = self.resources("Microsoft.Web/sites").find(|site| site["id"] == id);
        match site {
            Some(site) if site["location"] == STANDBY_LOCATION => App::Standby,
            _ if self.has("param eventSource = 'iotHub'") => App::WithIotHub,
            _ if self.has("param sessions = true") => App::WithSessions,
            _ => App::First,
        }
    }
}

/// Returns the sources with the literals of a parameter file as the defaults of the main template.
fn with_parameters(sources: &Sources, parameters: &str) -> Sources {
    let mut changed = sources.clone();
    let values = parameters.lines().filter_map(|line| line.strip_prefix("param ")?.split_once(" = "));
    for (name, value) in values.filter(|(_, value)| !value.contains('(')) {
        let text = sources.text("infra/main.bicep");
        let start = format!("param {name} ");
        let line =
            text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{name} is a parameter"));
        let type_name = line[start.len()..].split(' ').next().expect("a type");
        changed = changed.with("infra/main.bicep", &format!("{line}\n"), &format!("{start}{type_name} = {value}\n"));
    }
    changed
}

/// Returns a snapshot that is as the reader reads infra/.
fn example(sources: &Sources, parameters: &str, apps: &[App]) -> Snapshot {
    let mut snapshot = Snapshot { name: "example".to_owned(), parameters: parameters.to_owned(), json: Json::Null };
    let sources = with_parameters(sources, parameters);
    let mut resources = Vec::new();
    for (token, app) in apps.iter().enumerate() {
        let location = if *app == App::Standby { STANDBY_LOCATION } else { "westeurope" };
        let settings = app_settings(&sources.templates(), *app).into_iter();
        let settings: serde_json::Map<String, Json> = settings.map(|(name, value)| (name, value.into())).collect();
        let site = format!("~/sites/func-{token}");
        resources.push(json!({"id": site, "type": "Microsoft.Web/sites", "location": location}));
        resources.push(json!({"id": format!("{site}/config/appsettings"), "type": "Microsoft.Web/sites/config", "properties": settings}));
        for alert in sources.json("infra/alerts.json").as_array().expect("alerts") {
            let Some(query) = alert["query"].as_str() else { continue };
            let name = format!("alert-devicestate-{}-{token}", alert["name"].as_str().expect("a name"));
            let window = alert["window"].as_str().expect("a window").trim_start_matches("PT").to_lowercase();
            let query = format!("window {window}, retention 168h, records.kql, {query}.kql");
            resources.push(json!({"type": "Microsoft.Insights/scheduledQueryRules", "name": name,
                "properties": {"criteria": {"allOf": [{"query": query}]}}}));
        }
        for (path, _) in sources.below("infra/queries").filter(|(path, _)| !path.ends_with("records.kql")) {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
            resources.push(json!({"type": "Microsoft.OperationalInsights/workspaces/savedSearches",
                "name": format!("log-devicestate-{token}/devicestate-{name}"),
                "properties": {"query": format!("window 15m, retention 168h, records.kql, {name}.kql")}}));
        }
    }
    snapshot.json = json!({"predictedResources": resources});
    snapshot
}

const STANDBY: &str = "param environmentName = 'reference'\nparam standbyLocation = 'northeurope'\n";

#[test]
fn a_snapshot_as_the_reader_reads_infra_has_no_faults() {
    let sources = Sources::read();
    for (parameters, apps) in [
        ("param retryDrillDevice = 'drill'\n", &[App::First][..]),
        ("param eventSource = 'iotHub'\n", &[App::WithIotHub]),
        ("param sessions = true\n", &[App::WithSessions]),
        (STANDBY, &[App::First, App::Standby]),
    ] {
        assert_no_faults(&example(&sources, parameters, apps).faults(&sources));
    }
}

#[test]
fn a_snapshot_with_another_setting_or_query_is_detected() {
    let sources = Sources::read();
    let apps = [App::First, App::Standby];
    for (from, to, words) in [
        (r#""StateStore":"cosmos""#, r#""StateStore":"memory""#, "StateStore"),
        (r#""StateStore":"cosmos""#, r#""StateStor":"cosmos""#, "no setting StateStor"),
        (r#""StateStore":"cosmos","#, "", "only the reader has the setting StateStore"),
        ("window 2h", "window 15m", "dead-letters-expiring"),
        ("records.kql, lag.kql", "lag.kql", "lag"),
        ("alert-devicestate-lag-1", "alert-devicestate-lags-1", "lag is not in each region"),
        ("devicestate-costs", "devicestate-cost", "costs is not in each region"),
        (r#""location":"northeurope""#, r#""location":"westeurope""#, "regions"),
    ] {
        let mut snapshot = example(&sources, STANDBY, &apps);
        let text = snapshot.json.to_string();
        assert!(text.contains(from), "{from}");
        snapshot.json = serde_json::from_str(&text.replace(from, to)).expect("JSON");
        assert_detected(&snapshot.faults(&sources), words);
    }
}
