//! Opens a text in the operator's editor.

use std::{
    env, fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use devicestate_engine::text::error_message;
use devicestate_terminal::CommandError;

/// Opens a text in an editor, and returns what was saved and the path of its file.
pub(super) fn open_editor(text: &str) -> Result<(String, PathBuf), CommandError> {
    // Before the file, which contains telemetry.
    let editor = find_editor()?;
    let file = tempfile::Builder::new().prefix("devicestate-").suffix(".json").tempfile();
    let mut file = file.map_err(CommandError::not_started)?;
    file.write_all(text.as_bytes()).map_err(CommandError::not_started)?;
    let (_, path) = file.keep().map_err(CommandError::not_started)?;
    // In a shell, as other tools do: the variable may contain options.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("editor").arg(&path).status();
    match status {
        Ok(status) if status.success() => Ok((read_text(&path)?, path)),
        status => {
            let reason = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let failed = CommandError::not_started(format!(
                "the editor {editor:?} failed ({reason}), and nothing changed: set VISUAL or EDITOR to another one, or use \
                 --file FILE"
            ));
            if read_text(&path).is_ok_and(|saved| saved != text) {
                return Err(failed.with_line(&format!("the saved text is in {}", path.display())));
            }
            let _ = fs::remove_file(&path);
            Err(failed)
        }
    }
}

fn find_editor() -> Result<String, CommandError> {
    let editor =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| env::var(name).ok().filter(|editor| !editor.is_empty()));
    match editor {
        Some(editor) => Ok(editor),
        None if io::stdin().is_terminal() => Ok("vi".to_owned()),
        None => Err(CommandError::not_started(
            "the editor cannot be started: there is no terminal, and the environment variable EDITOR is not set; use --file FILE",
        )),
    }
}

/// Reads a text without the byte order mark that some editors write.
pub(super) fn read_text(path: &Path) -> Result<String, CommandError> {
    let error =
        |reason: &str| CommandError::not_started(format!("the file {} cannot be read: {reason}", path.display()));
    let bytes = fs::read(path).map_err(|failure| error(&error_message(&failure)))?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(error("it is UTF-16 text; save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|_| error("it is not UTF-8 text"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
