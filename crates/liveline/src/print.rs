//! How things are printed.

use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

use comfy_table::{ContentArrangement, Table, presets};
use liveline_elf::demangle;
use liveline_patch::Verdict;
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// Said where `--exe` finds no process.
pub(crate) const NOBODY: &str = "nothing to do: no process that you may look at runs it or has it mapped";

/// Prints a line, or several, with symbols as the source has them; a reader that has gone away is no error of ours.
pub(crate) fn line(text: &str) {
    out(format!("{}\n", demangle::text(&plain(text))).as_bytes());
}

/// The text without what commands the terminal: programs and files may say anything.
fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "?")
}

/// A name on one line, whatever is in it.
pub(crate) fn one_line(name: &str) -> String {
    name.replace(char::is_control, "?")
}

/// The first error of standard output.
static LOST: OnceLock<String> = OnceLock::new();

/// Prints bytes. A reader that has gone away is no error of ours; any other is kept for [`finish`].
pub(crate) fn out(bytes: &[u8]) {
    keep(std::io::stdout().write_all(bytes));
}

fn keep(result: std::io::Result<()>) {
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
    {
        // The first one is the cause.
        let _ = LOST.set(error.to_string());
    }
}

/// Errors: something that was printed did not arrive.
pub(crate) fn finish() -> Result<(), Failure> {
    keep(std::io::stdout().flush());
    match LOST.get() {
        None => Ok(()),
        Some(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Verdicts as JSON: with the symbol, and the name that the source has for it.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> Result<Value, Failure> {
    let mut list = serde_json::to_value(verdicts).map_err(|error| Failure::failed(error.to_string()))?;
    for verdict in list.as_array_mut().into_iter().flatten() {
        let name = verdict["symbol"].as_str().map(|symbol| demangle::name(symbol).into_owned());
        verdict["name"] = name.into();
    }
    Ok(list)
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
    out(format!("{text}\n").as_bytes());
    Ok(())
}

/// A table with these headings, without borders, as wide as the terminal allows.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings);
    table
}

/// A process for a person: pid and name, the pid alone once it is gone.
pub(crate) fn process(pid: i32, program: &str) -> String {
    if program.is_empty() { pid.to_string() } else { format!("{pid} ({program})") }
}

/// A time in the unit that fits.
pub(crate) fn microseconds(value: f64) -> String {
    if value < 1000.0 { format!("{value:.0} µs") } else { format!("{:.2} ms", value / 1000.0) }
}

/// A count with its noun.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_commands_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc"), "a?[2Jb?\nc");
        assert_eq!(one_line("a\nb\u{1b}"), "a?b?");
    }
}
