//! The function with the HTTP trigger: answers requests for the state of devices that the host passes on.
//!
//! The host sends an envelope with the request in `Data`, and reads the answer from `Outputs`. It could also forward the request
//! itself (`enableForwardingHttpRequest`), but then it cuts the path at a decoded `#`, which may leave the id of another device.
//! Facts about the host are from recordings (`tests/fixtures/host`) and from its source at 89dc438.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use devicestate_engine::{
    function_app::{HttpFunction, RETURN_VALUE},
    rate_limit::OncePerMinute,
};
use devicestate_read_api::{self as read_api, Problem, percent_decoded};
use serde_json::{Value, json};

use super::{
    body::{BodyError, next_frame},
    incomplete, json_response,
    readers::Readers,
};

/// Limits the size of the host's request, of which a body of the caller is a part.
const MAX_ENVELOPE_BYTES: usize = 1 << 20;

/// The function of an app.
pub(super) struct DevicesFunction {
    readers: Arc<Readers>,
    /// The name of the trigger.
    trigger: String,
    /// The name of the output binding.
    output: String,
    base: Base,
    budget: Duration,
    log: OncePerMinute,
}

/// The paths of a function.
#[derive(Debug, PartialEq, Eq)]
struct Base {
    /// The beginning: a literal, or `None` for a parameter, for each segment.
    segments: Vec<Option<String>>,
    /// The name of the parameter after it, which is the id.
    id: Option<String>,
}

/// The parts of the caller's request.
#[derive(Debug, PartialEq, Eq)]
struct Invocation {
    method: String,
    path: String,
    query: String,
    if_none_match: Option<String>,
}

impl DevicesFunction {
    /// Creates the function. `route_prefix` is that of host.json; an answer takes at most `budget`.
    pub(super) fn new(readers: Arc<Readers>, function: &HttpFunction, route_prefix: &str, budget: Duration) -> Self {
        let route = function.trigger.route.as_deref().unwrap_or(&function.name);
        Self {
            readers,
            trigger: function.trigger.name.clone(),
            output: function.output.clone(),
            base: Base::new(route_prefix, route),
            budget,
            log: OncePerMinute::default(),
        }
    }

    /// Answers the request in an envelope.
    async fn answer(&self, envelope: &[u8]) -> read_api::Response {
        match Invocation::read(envelope, &self.trigger, &self.base) {
            Ok(Invocation { method, path, query, if_none_match }) => {
                let if_none_match = if_none_match.as_deref();
                let request = read_api::Request { method: &method, path: &path, query: &query, if_none_match };
                self.readers.answer(&request, self.budget).await
            }
            Err(problem) => self.refuse(&problem),
        }
    }

    /// Answers a request that cannot be read. Nothing of it is logged, since it may contain a key.
    fn refuse(&self, problem: &Problem) -> read_api::Response {
        if self.log.is_due() {
            tracing::warn!("a request for the state of devices was refused: {}", problem.detail);
        }
        problem.into()
    }

    /// Returns the body of the reply. It is never empty, because the host would wait forever.
    ///
    /// The host parses `statusCode` as a text, writes each header, and writes a `body` that is a text unchanged
    /// (`HttpOutputBindingResponse`, `HttpBinding`, `RawScriptResult`); it appends `; charset=utf-8` to the content type. Other
    /// JSON as the body would be formatted anew, and its dates changed.
    fn reply(&self, response: read_api::Response) -> String {
        let headers: serde_json::Map<_, _> =
            response.headers.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        let answer = json!({ "statusCode": response.status, "headers": headers, "body": response.body });
        let reply = if self.output == RETURN_VALUE {
            json!({ "Outputs": {}, "Logs": [], "ReturnValue": answer })
        } else {
            json!({ "Outputs": { &self.output: answer }, "Logs": [], "ReturnValue": null })
        };
        reply.to_string()
    }
}

/// Handles an invocation. Its reply has status 200, whatever the answer to the caller is: the host ignores the outputs of others.
pub(super) async fn invoke(State(function): State<Arc<DevicesFunction>>, request: Request) -> Response {
    let answer = match collect(request.into_body()).await {
        Err(error) => return incomplete(&error),
        Ok(Some(envelope)) => function.answer(&envelope).await,
        Ok(None) => function.refuse(&Problem::bad_request("the request is too large: send it without a body")),
    };
    json_response(StatusCode::OK, function.reply(answer))
}

/// Collects an envelope; `None` if it is too large. Its rest is read nevertheless, because the host sends it before it reads.
async fn collect(mut body: Body) -> Result<Option<Bytes>, BodyError> {
    let (mut collected, mut is_too_large) = (Vec::new(), false);
    while let Some(frame) = next_frame(&mut body).await? {
        is_too_large |= collected.len() + frame.len() > MAX_ENVELOPE_BYTES;
        if is_too_large {
            collected = Vec::new();
        } else {
            collected.extend_from_slice(&frame);
        }
    }
    Ok((!is_too_large).then(|| collected.into()))
}

impl Invocation {
    fn read(envelope: &[u8], trigger: &str, base: &Base) -> Result<Self, Problem> {
        let invalid = |what: &str| Problem::bad_request(format!("the request of the Functions host {what}"));
        let envelope: Value = serde_json::from_slice(envelope).map_err(|_| invalid("is not JSON"))?;
        let request = &envelope["Data"][trigger];
        let text = |name: &str| request[name].as_str().ok_or_else(|| invalid(&format!("has no `{name}`")));
        let (method, url) = (text("Method")?, text("Url")?);
        let (path, query) = path_and_query(url).ok_or_else(|| invalid("has an invalid `Url`"))?;
        let rest = base.strip(path).ok_or_else(Problem::unknown_path)?;
        let id = base.id.as_ref().and_then(|name| request["Params"][name].as_str());
        let path = id.map_or(rest, path_of);
        let if_none_match = header(&request["Headers"], "If-None-Match");
        Ok(Self { method: method.to_owned(), path, query: query.to_owned(), if_none_match })
    }
}

/// Returns the path of an id that the host has decoded.
///
/// It decodes everything but `%2F`, and builds `Url` from the result, in which it escapes a `%` only if no two digits follow. So in
/// `Url`, the id `50%25` is the same as `50%`.
fn path_of(decoded: &str) -> String {
    format!("/{}", decoded.replace('%', "%25").replace("%252F", "%2F").replace("%252f", "%2f"))
}

/// Splits an address into its path and its query. An address with a `#` is invalid: what follows could be a part of an id.
fn path_and_query(url: &str) -> Option<(&str, &str)> {
    let (_, rest) = url.split_once("://").filter(|_| !url.contains('#'))?;
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    Some((before_query.find('/').map_or("", |start| &before_query[start..]), query))
}

/// Returns the values of a header, separated by commas.
fn header(headers: &Value, name: &str) -> Option<String> {
    let (_, value) = headers.as_object()?.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    match value {
        Value::String(value) => Some(value.clone()),
        Value::Array(values) => Some(values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
        _ => None,
    }
}

impl Base {
    fn new(route_prefix: &str, route: &str) -> Self {
        let segments =
            |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let mut base = segments(route_prefix);
        base.extend(segments(route));
        let id = base.pop_if(|last| last.starts_with('{'));
        // `{id?}`, `{*id}`, `{id:length(3)}` and `{id=a}`
        let id =
            id.map(|id| id.trim_matches(['{', '*', '}']).split([':', '=', '?']).next().unwrap_or_default().to_owned());
        let segments = base.into_iter().map(|segment| (!segment.starts_with('{')).then_some(segment)).collect();
        Self { segments, id }
    }

    /// Returns the rest of a path after the base; `None` if it has another base. As in the router of the host, literals are
    /// compared decoded and in any letter case.
    fn strip(&self, path: &str) -> Option<String> {
        let mut segments = path.strip_prefix('/')?.split('/');
        for literal in &self.segments {
            let segment = percent_decoded(segments.next()?).ok()?;
            if literal.as_ref().is_some_and(|literal| literal.to_lowercase() != segment.to_lowercase()) {
                return None;
            }
        }
        Some(segments.fold(String::new(), |rest, segment| format!("{rest}/{segment}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(prefix: &str, route: &str, path: &str) -> Option<String> {
        Base::new(prefix, route).strip(path)
    }

    #[test]
    fn the_base_is_removed_by_its_segments_and_nothing_of_the_id_is_decoded() {
        for (prefix, route, path, rest) in [
            ("api", "devices/{id?}", "/api/devices", ""),
            ("api", "devices/{id?}", "/api/devices/", "/"),
            ("api", "devices/{id?}", "/api/devices/a%23b%2Fc%3Fd%20e%25f", "/a%23b%2Fc%3Fd%20e%25f"),
            ("api", "devices/{id?}", "/API/De%76ices/A", "/A"),
            ("api", "devices/{id?}", "/api/devices/a/b", "/a/b"),
            ("", "/devices/{id}", "/devices/a", "/a"),
            ("v1/x", "{tenant}/state/{*id}", "/v1/x/any/state/a", "/a"),
            ("api", "DevicesFunction", "/api/devicesfunction", ""),
        ] {
            assert_eq!(strip(prefix, route, path).as_deref(), Some(rest), "{path}");
        }
        for path in
            ["", "/", "/api", "/api/x", "/./api/devices", "//api/devices/a", "/api/../api/devices", "/x/devices/a"]
        {
            assert_eq!(strip("api", "devices/{id?}", path), None, "{path}");
        }
    }

    #[test]
    fn the_parameter_of_the_id_is_found_in_the_route() {
        for (route, id) in [
            ("devices/{id?}", Some("id")),
            ("{tenant}/{*device}", Some("device")),
            ("state/{Id:length(3)}", Some("Id")),
            ("state/{id=a}", Some("id")),
            ("{tenant}/state", None),
        ] {
            assert_eq!(Base::new("api", route).id.as_deref(), id, "{route}");
        }
    }

    #[test]
    fn a_decoded_id_is_encoded_except_for_its_slashes() {
        for (decoded, path) in [
            ("50%25", "/50%2525"),
            ("a%2Fb%2f", "/a%2Fb%2f"),
            ("%252F", "/%25252F"),
            ("a#b?ä", "/a#b?ä"),
            ("%", "/%25"),
        ] {
            assert_eq!(path_of(decoded), path);
        }
    }

    #[test]
    fn an_address_with_a_fragment_or_without_a_path_has_no_device() {
        assert_eq!(path_and_query("http://h:1/a%23?x=1?2/3"), Some(("/a%23", "x=1?2/3")));
        assert_eq!(path_and_query("http://h?x=/y"), Some(("", "x=/y")));
        assert_eq!(path_and_query("http://h/a#b"), None);
        assert_eq!(path_and_query("/a"), None);
    }

    #[test]
    fn the_values_of_a_header_are_found_in_any_letter_case() {
        let headers = json!({ "if-none-match": ["\"a\"", "W/\"b\""], "X": "y", "Z": 1 });
        assert_eq!(header(&headers, "If-None-Match").as_deref(), Some("\"a\", W/\"b\""));
        assert_eq!(header(&headers, "x").as_deref(), Some("y"));
        assert_eq!((header(&headers, "z"), header(&Value::Null, "z")), (None, None));
    }
}
