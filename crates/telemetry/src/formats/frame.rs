//! What the serializers of a schema registry write before a body: the id of its schema.

/// Returns the id of the schema in decimal or hexadecimal digits, and the number of bytes before the body. `None` if the body
/// does not begin with an id.
///
/// It is a zero byte and a number of four bytes. Older serializers of Azure write four zero bytes and the 32 digits of the id.
pub(super) fn schema_id(body: &[u8]) -> Option<(String, usize)> {
    if let Some(([0, 0, 0, 0], rest)) = body.split_first_chunk()
        && let Some(digits) = rest.first_chunk::<32>()
        && digits.iter().all(u8::is_ascii_hexdigit)
    {
        return Some((String::from_utf8_lossy(digits).to_ascii_lowercase(), 36));
    }
    let ([0, id @ ..], _) = body.split_first_chunk::<5>()? else { return None };
    Some((u32::from_be_bytes(*id).to_string(), 5))
}
