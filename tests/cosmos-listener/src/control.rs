//! The control API: counts, faults, outages, regions, and direct access to documents.

use std::{io, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    counters::Counts,
    data::{MAX_BODY_BYTES, Service},
    documents,
    faults::Fault,
    ports::Ports,
    response::CosmosResponse,
};

/// The state on which the control API acts.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) service: Arc<Service>,
    pub(crate) ports: Arc<Ports>,
}

/// Returns the routes of the control API.
pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/counters", get(counters))
        .route("/counters/reset", post(reset_counters))
        .route("/faults", get(faults).post(add_fault).delete(remove_faults))
        .route("/faults/{number}", delete(remove_fault))
        .route("/down", post(down))
        .route("/up", post(up))
        .route("/write-region", post(move_write_region))
        .route("/container", put(create_container).delete(delete_container))
        .route("/documents", get(all_documents))
        .route("/documents/{id}", get(document).put(put_document).delete(delete_document))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(control)
}

/// An error response with the body `{"error": "…"}`.
struct Rejection {
    status: StatusCode,
    message: String,
}

impl From<CosmosResponse> for Rejection {
    fn from(response: CosmosResponse) -> Self {
        let message = response.json()["message"].as_str().unwrap_or("The store gave no reason.").to_owned();
        Self { status: response.status, message }
    }
}

impl From<io::Error> for Rejection {
    fn from(error: io::Error) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: error.to_string() }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

/// Parses a body as JSON with any content type: many clients send none by default.
fn parse<T: DeserializeOwned>(body: &str) -> Result<T, Rejection> {
    serde_json::from_str(body).map_err(|error| bad_request(error.to_string()))
}

fn bad_request(message: String) -> Rejection {
    Rejection { status: StatusCode::BAD_REQUEST, message }
}

fn not_found(message: String) -> Rejection {
    Rejection { status: StatusCode::NOT_FOUND, message }
}

type Reply = Result<Json<Value>, Rejection>;

async fn counters(State(control): State<Control>) -> Json<Counts> {
    Json(control.service.counters.snapshot())
}

async fn reset_counters(State(control): State<Control>) -> StatusCode {
    control.service.counters.reset();
    StatusCode::NO_CONTENT
}

async fn faults(State(control): State<Control>) -> Json<Vec<Fault>> {
    Json(control.service.faults.list())
}

async fn add_fault(State(control): State<Control>, body: String) -> Reply {
    let number = control.service.faults.add(parse(&body)?).map_err(|why| bad_request(why.to_owned()))?;
    Ok(Json(json!({ "number": number })))
}

async fn remove_faults(State(control): State<Control>) -> StatusCode {
    control.service.faults.clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(control): State<Control>, Path(number): Path<u64>) -> Result<StatusCode, Rejection> {
    if control.service.faults.remove(number) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(not_found(format!("There is no fault {number}.")))
}

async fn down(State(control): State<Control>) -> Result<StatusCode, Rejection> {
    control.ports.down().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn up(State(control): State<Control>) -> Result<StatusCode, Rejection> {
    control.ports.up().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteRegion {
    region: String,
}

async fn move_write_region(State(control): State<Control>, body: String) -> Result<StatusCode, Rejection> {
    let to: WriteRegion = parse(&body)?;
    let moved = control.service.account.move_write_region(&to.region);
    moved.map_err(bad_request)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn create_container(State(control): State<Control>) -> StatusCode {
    if control.service.account.create_container().await { StatusCode::CREATED } else { StatusCode::NO_CONTENT }
}

async fn delete_container(State(control): State<Control>) -> Result<StatusCode, Rejection> {
    if control.service.account.delete_container().await {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(not_found("There is no container.".to_owned()))
}

async fn all_documents(State(control): State<Control>) -> Reply {
    Ok(Json(Value::Object(documents::all(&control.service.account).await?)))
}

async fn document(State(control): State<Control>, Path(id): Path<String>) -> Reply {
    Ok(Json(documents::get(&control.service.account, &id).await?))
}

async fn put_document(State(control): State<Control>, Path(id): Path<String>, body: String) -> Reply {
    Ok(Json(documents::put(&control.service.account, &id, parse(&body)?).await?))
}

async fn delete_document(State(control): State<Control>, Path(id): Path<String>) -> Result<StatusCode, Rejection> {
    documents::delete(&control.service.account, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
