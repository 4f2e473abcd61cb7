//! The condition on the devices that a reader sees.

use axum::http::StatusCode;
use devicestate_engine::store::Filter;

use crate::problem::Problem;

/// Parses the filter language of the read API. Any field may be used, because the filter is applied in memory.
///
/// # Errors
///
/// Returns a [`Problem`] that says what is invalid, and where.
pub(crate) fn parse(text: &str) -> Result<Filter, Problem> {
    if text.trim().is_empty() {
        return Ok(Filter::EVERY);
    }
    Err(Problem::new(StatusCode::BAD_REQUEST, "the parameter `where` is invalid: filters are not yet supported"))
}
