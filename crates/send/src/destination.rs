//! The hub that events are sent to, from options and from the settings that the Functions host reads.

use azure_core::{credentials::Secret, http::Url};
use devicestate_azure::{ConnectionString, Identity};
use devicestate_engine::settings::{ConfigError, Settings};

use crate::{access::Access, options::Options};

/// The default port of AMQP without TLS.
const PLAIN_PORT: u16 = 5672;

/// A hub and how to connect to it.
pub(crate) struct Destination {
    /// Its URL for links and tokens: `amqps://namespace/hub`.
    pub(crate) hub: Url,
    /// The address to connect to, if it differs from the URL.
    pub(crate) endpoint: Option<Url>,
    /// The credentials.
    pub(crate) access: Access,
    /// The option or the setting that selects the hub, for errors.
    pub(crate) configured_by: String,
}

/// Why a destination is invalid or missing. The text contains no value of a connection string.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DestinationError {
    #[error("{0}")]
    Settings(#[from] ConfigError),
    #[error("--{option} {problem}")]
    Option { option: &'static str, problem: &'static str },
    #[error(
        "the hub is not configured: use --namespace or --endpoint, or set the setting `{0}` to a connection string or \
         `{0}__fullyQualifiedNamespace` to a host name"
    )]
    NoDestination(String),
    #[error("the name of the hub is missing for {0}: use --hub, or set the setting `EventHubName`")]
    NoHub(String),
    #[error(
        "--hub {hub} is not the EntityPath of the connection string in the setting `{connection}`: remove one of them"
    )]
    TwoHubs { hub: String, connection: String },
    #[error(
        "the identity for sending is not available: {0}; check the settings `__credential` and `__clientId` of the connection, or run `az login`"
    )]
    Identity(#[from] azure_core::Error),
}

impl Destination {
    /// Returns the destination of these options and settings.
    pub(crate) fn from_options(options: &Options, settings: &Settings) -> Result<Self, DestinationError> {
        let hub = options.hub.as_deref();
        let by_setting = hub.or_else(|| settings.get("EventHubName"));
        let connection = options.connection.as_str();
        if let Some(endpoint) = &options.endpoint {
            return Self::local(endpoint, by_setting);
        }
        if let Some(namespace) = &options.namespace {
            return Self::with_identity("--namespace", namespace, by_setting, settings, connection)?
                .ok_or(DestinationError::Option { option: "namespace", problem: NO_HOST });
        }
        if let Some(text) = settings.get(connection) {
            return Self::from_connection_string(
                &ConnectionString::parse(connection, text)?,
                hub,
                settings,
                connection,
            );
        }
        let setting = format!("{connection}__fullyQualifiedNamespace");
        let namespace = settings.get(&setting).ok_or_else(|| DestinationError::NoDestination(connection.to_owned()))?;
        let found = Self::with_identity(&setting, namespace, by_setting, settings, connection)?;
        found.ok_or_else(|| ConfigError::Connection { setting, problem: NO_HOST.into() }.into())
    }

    fn local(endpoint: &str, hub: Option<&str>) -> Result<Self, DestinationError> {
        let invalid = |problem| DestinationError::Option { option: "endpoint", problem };
        let url = Url::parse(endpoint).ok().filter(|url| url.scheme() == "amqp" && matches!(url.path(), "" | "/"));
        let url = url.ok_or(invalid("must be an address such as amqp://127.0.0.1:5672"))?;
        // Without TLS, telemetry must not leave the machine.
        let host = url.host_str().filter(|host| is_loopback(host));
        let host =
            host.ok_or(invalid("must be on this machine, because it has no TLS: for any other hub use --namespace"))?;
        let configured_by = format!("--endpoint {endpoint}");
        let hub = hub_url(host, hub.ok_or_else(|| DestinationError::NoHub(configured_by.clone()))?);
        let hub = hub.ok_or(invalid(NO_HOST))?;
        Ok(Self { hub, endpoint: Some(url), access: Access::Anonymous, configured_by })
    }

    /// Returns `None` if the namespace is not a host name.
    fn with_identity(
        option: &str,
        namespace: &str,
        hub: Option<&str>,
        settings: &Settings,
        connection: &str,
    ) -> Result<Option<Self>, DestinationError> {
        let is_host = !namespace.is_empty() && namespace.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
        if !is_host {
            return Ok(None);
        }
        let configured_by = format!("{option} {namespace}");
        let hub = hub_url(namespace, hub.ok_or_else(|| DestinationError::NoHub(configured_by.clone()))?);
        let access = Access::Identity(Identity::from_settings(settings, connection)?.credential()?);
        Ok(hub.map(|hub| Self { hub, endpoint: None, access, configured_by }))
    }

    fn from_connection_string(
        parts: &ConnectionString,
        hub: Option<&str>,
        settings: &Settings,
        connection: &str,
    ) -> Result<Self, DestinationError> {
        let hub = match (hub, parts.get("EntityPath")) {
            (Some(hub), Some(path)) if hub != path => {
                return Err(DestinationError::TwoHubs { hub: hub.to_owned(), connection: connection.to_owned() });
            }
            (hub, path) => hub.or(path).or_else(|| settings.get("EventHubName")),
        };
        let hub = hub.ok_or_else(|| DestinationError::NoHub(connection.to_owned()))?;
        let no_address =
            || parts.error("has an Endpoint that is not an address such as sb://name.servicebus.windows.net/".into());
        let endpoint = Url::parse(parts.require("Endpoint")?).ok().filter(|url| url.scheme() == "sb");
        let endpoint = endpoint.ok_or_else(no_address)?;
        let host = endpoint.host_str().ok_or_else(no_address)?;
        let is_emulator = parts.get("UseDevelopmentEmulator").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let address = match (is_emulator, endpoint.port()) {
            (true, port) => Some(format!("amqp://{host}:{}", port.unwrap_or(PLAIN_PORT))),
            (false, Some(port)) => Some(format!("amqps://{host}:{port}")),
            (false, None) => None,
        };
        if is_emulator && !is_loopback(host) {
            return Err(parts.error(
                "has UseDevelopmentEmulator and an Endpoint that is not on this machine: a connection would have no TLS".into(),
            ).into());
        }
        let access = match parts.get("SharedAccessSignature") {
            Some(signature) => Access::Signature(Secret::new(signature.to_owned())),
            None => Access::Key {
                name: parts.require("SharedAccessKeyName")?.to_owned(),
                key: Secret::new(parts.require("SharedAccessKey")?.to_owned()),
            },
        };
        let address = address.map(|address| Url::parse(&address)).transpose().map_err(|_| no_address())?;
        let hub = hub_url(host, hub).ok_or_else(no_address)?;
        Ok(Self { hub, endpoint: address, access, configured_by: format!("the setting {connection}") })
    }
}

const NO_HOST: &str = "must be the name of a host, such as name.servicebus.windows.net";

/// Returns whether a host is this machine, so that a connection without TLS is safe.
fn is_loopback(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "[::1]" | "localhost")
}

/// Returns the URL of a hub in a namespace.
fn hub_url(namespace: &str, hub: &str) -> Option<Url> {
    Url::parse(&format!("amqps://{namespace}/{hub}")).ok().filter(|url| url.path() == format!("/{hub}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    const KEY: &str = "c2VjcmV0";

    fn find(arguments: &[&str], settings: &[(&str, &str)]) -> Result<Destination, String> {
        let arguments = ["devicestate-send", "--keys", "1"].iter().chain(arguments);
        let mut given = Settings::default();
        for (name, value) in settings {
            given.set(*name, *value);
        }
        let options = Options::try_parse_from(arguments).expect("valid arguments");
        Destination::from_options(&options, &given).map_err(|error| error.to_string())
    }

    fn with(parts: &str) -> String {
        format!("{parts};SharedAccessKeyName=send;SharedAccessKey={KEY}")
    }

    #[test]
    fn a_namespace_uses_an_identity_and_a_connection_string_its_key() {
        let by_name = find(&["--namespace", "ns.servicebus.windows.net", "--hub", "telemetry"], &[]).expect("a hub");
        assert!(matches!(by_name.access, Access::Identity(_)));
        assert_eq!((by_name.hub.as_str(), by_name.endpoint), ("amqps://ns.servicebus.windows.net/telemetry", None));

        let settings =
            [("EventHubConnection__fullyQualifiedNamespace", "ns.servicebus.windows.net"), ("EventHubName", "t")];
        assert_eq!(find(&[], &settings).expect("a hub").hub.as_str(), "amqps://ns.servicebus.windows.net/t");

        let string = with("Endpoint=sb://ns.servicebus.windows.net/;EntityPath=telemetry");
        let by_key = find(&["--connection", "Mine"], &[("Mine", &string)]).expect("a hub");
        assert!(matches!(by_key.access, Access::Key { name, .. } if name == "send"));
        assert_eq!((by_key.hub.as_str(), by_key.endpoint), ("amqps://ns.servicebus.windows.net/telemetry", None));
    }

    #[test]
    fn the_emulator_is_reached_without_tls_at_its_port_or_the_default_port() {
        for (endpoint, address) in
            [("sb://localhost", "amqp://localhost:5672"), ("sb://127.0.0.1:99", "amqp://127.0.0.1:99")]
        {
            let string = with(&format!("Endpoint={endpoint};UseDevelopmentEmulator=true"));
            let found = find(&["--hub", "t"], &[("EventHubConnection", &string)]).expect("a hub");
            assert_eq!(found.endpoint.expect("an address").as_str(), address);
        }
    }

    #[test]
    fn a_destination_error_names_the_option_or_the_setting_and_no_key() {
        let of = |parts: &str| with(parts).leak() as &str;
        let cases: [(&[&str], &str, &str); 13] = [
            (&[], "", "use --namespace or --endpoint, or set the setting `EventHubConnection`"),
            (&["--connection", "Mine"], "", "the setting `Mine`"),
            (&["--namespace", "ns.example.com"], "", "use --hub, or set the setting `EventHubName`"),
            (&["--namespace", "sb://ns.example.com/", "--hub", "t"], "", "--namespace must be the name of a host"),
            (&["--endpoint", "amqp://10.0.0.1:5672", "--hub", "t"], "", "--endpoint must be on this machine"),
            (&["--endpoint", "http://127.0.0.1:5672", "--hub", "t"], "", "--endpoint must be an address"),
            (
                &["--endpoint", "amqp://127.0.0.1:5672"],
                "",
                "the name of the hub is missing for --endpoint amqp://127.0.0.1:5672",
            ),
            (&["--hub", "t"], of("Endpoint=sb://x/;EntityPath=other"), "is not the EntityPath"),
            (&["--hub", "t"], of("Endpoint=https://x/"), "`EventHubConnection` has an Endpoint that is not an address"),
            (&["--hub", "t"], of("Endpoint=sb://x/;UseDevelopmentEmulator=true"), "is not on this machine"),
            (&["--hub", "t"], of("Entity=x"), "`EventHubConnection` has no Endpoint"),
            (&["--hub", "t"], "Endpoint=sb://x/;SharedAccessKey=c2VjcmV0", "has no SharedAccessKeyName"),
            (&["--hub", "t"], "c2VjcmV0", "`EventHubConnection` is not a connection string"),
        ];
        for (arguments, string, expected) in cases {
            let Err(error) = find(arguments, &[("EventHubConnection", string)]) else {
                panic!("{arguments:?} {string}")
            };
            assert!(error.contains(expected) && !error.contains(KEY), "{arguments:?} {string}: {error}");
        }
    }
}
