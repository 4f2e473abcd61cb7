//! Words of commands that a user may copy into a shell.

use devicestate_engine::text::is_hidden;

/// Quotes a word for a shell. Hidden characters become escapes, which Bash and most shells understand.
#[must_use]
pub fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() && !is_hidden(c) || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if !word.contains(is_hidden) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let escaped = word.chars().map(|c| match c {
        '\\' | '\'' => format!("\\{c}"),
        _ if is_hidden(c) => c.to_string().bytes().fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}")),
        _ => c.to_string(),
    });
    format!("$'{}'", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        for word in
            ["plain-1.json", "", "two words", "it's", "$(touch x); \\", "\u{1b}[2J'\\\u{9b}\u{202e}9\nend", "\u{3164}"]
        {
            let quoted = shell_quoted(word);
            assert!(!quoted.contains(is_hidden), "{quoted:?}");
            let output = std::process::Command::new("bash").arg("-c").arg(format!("printf %s {quoted}")).output();
            assert_eq!(String::from_utf8(output.expect("bash").stdout).as_deref(), Ok(word), "{quoted}");
        }
    }
}
