//! One device.

use devicestate_engine::{
    device_state::{MAX_ID_BYTES, device_id, document_id},
    store::RequestCharge,
};

use crate::{
    Problem, ReadApi, etag,
    model::Device,
    query::Parameters,
    response::{Content, to_json},
    selection,
};

/// The parameters of the request.
pub(crate) const PARAMETERS: [&str; 2] = ["select", "versions"];

impl ReadApi {
    /// Returns the state of a device.
    pub(crate) async fn device(
        &self,
        id: &str,
        parameters: &Parameters,
        if_none_match: Option<&str>,
        charge: &RequestCharge,
    ) -> Result<Content, Problem> {
        let parts = selection::parts(parameters)?;
        if id.is_empty() {
            return Err(Problem::invalid_parameter("the parameter `id` is empty: write the id of a device"));
        }
        let document_id = document_id(id);
        if document_id.len() > MAX_ID_BYTES {
            let detail = format!(
                "the device id is too long: the id of its document would have {} bytes, and the maximum is {MAX_ID_BYTES}",
                document_id.len()
            );
            return Err(Problem::bad_request(detail));
        }
        let stored =
            self.store.read(&document_id, charge).await.map_err(|error| Problem::of_store(&error, Some(id)))?;
        // A store that confuses ids must not show another device.
        let stored = stored.filter(|stored| device_id(&stored.document.id) == id);
        let stored = stored.ok_or_else(|| Problem::unknown_device(id))?;
        let etag = etag::of(&stored.etag, &format!("{parts:?}"));
        if if_none_match.is_some_and(|tags| etag::is_match(tags, &etag)) {
            return Ok(Content::NotModified { etag });
        }
        let device = Device::new(&stored.document, &parts, self.clock.now_ms());
        Ok(Content::Body { body: to_json(&device), etag: Some(etag) })
    }
}
