//! The files of the page, which are part of the program.

const HTML: &str = "text/html; charset=utf-8";

/// The path of each file, its type and its content.
const FILES: &[(&str, &str, &[u8])] = &[("/", HTML, include_bytes!("../assets/index.html"))];

/// Returns the content of a file and its type.
pub(crate) fn find(path: &str) -> Option<(&'static [u8], &'static str)> {
    let file = FILES.iter().find(|(name, ..)| *name == path);
    file.map(|(_, content_type, content)| (*content, *content_type))
}
