//! `diff`: a patch from two builds.

use std::path::Path;

use liveline_diff::{Report, Request};
use liveline_elf::demangle;
use liveline_patch::{Verdict, VerdictKind};
use serde_json::json;

use super::patch_file;
use crate::args::DiffArgs;
use crate::failure::{Code, Failure, Result};
use crate::print;

pub(crate) fn run(args: &DiffArgs) -> Result {
    let name = patch_file::name(args.patch.name.as_deref(), &args.output)?;
    patch_file::check_version(&args.patch.version)?;
    patch_file::check_place(&args.output)?;
    let request = Request {
        old: args.old.clone(),
        new: args.new.clone(),
        target: args.target.clone(),
        debug: args.patch.debug.clone(),
        name,
        version: args.patch.version.clone(),
        requires: args.patch.requires.clone(),
        assume: args.patch.assume.clone(),
        no_types: args.patch.no_types,
    };
    let report = liveline_diff::diff(&request).map_err(|error| Failure::failed(error.to_string()))?;
    deliver(&report, &args.output, args.json, (&request.name, &request.version), json!({}), || ())
}

/// Writes the patch of a comparison, if there is one, and says what came of it. `more` are further fields of the
/// JSON, `before` prints what a person is to read first.
pub(crate) fn deliver(
    report: &Report,
    output: &Path,
    as_json: bool,
    named: (&str, &str),
    more: serde_json::Value,
    before: impl FnOnce(),
) -> Result {
    let Delivered { code, mut value } = write_patch(report, output, named)?;
    if as_json {
        if let (Some(value), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        print::json(&value)?;
    } else {
        before();
        show(report, output);
    }
    Ok(code)
}

/// What came of a comparison.
pub(crate) struct Delivered {
    pub(crate) code: Code,
    pub(crate) value: serde_json::Value,
}

/// Writes the patch of a comparison, if there is one, and prints nothing.
pub(crate) fn write_patch(
    report: &Report,
    output: &Path,
    (name, version): (&str, &str),
) -> std::result::Result<Delivered, Failure> {
    let patch = if report.refused { None } else { report.patch.as_ref() };
    if let Some(patch) = patch {
        let bytes = patch.encode().map_err(|error| Failure::failed(error.to_string()))?;
        patch_file::write(output, &bytes)?;
    }
    let value = json!({
        "patch": patch.map(|_| output.display().to_string()),
        "name": name,
        "version": version,
        "refused": report.refused,
        "functions": patch.map_or(Vec::new(), |patch| patch.meta.functions.iter().map(|function| &function.name).collect()),
        "target": patch.map(|patch| &patch.meta.target),
        "verdicts": print::verdicts(&report.verdicts)?,
        "types": report.types,
        "notes": report.notes,
    });
    let code = match patch {
        _ if report.refused => Code::Refused,
        None => Code::Nothing,
        Some(_) => Code::Done,
    };
    Ok(Delivered { code, value })
}

/// How many functions with other line numbers only are named one by one.
const LINES_NAMED: usize = 20;

/// The verdicts, and where the patch is.
pub(crate) fn show(report: &Report, output: &Path) {
    let (lines, named): (Vec<&Verdict>, Vec<&Verdict>) =
        report.verdicts.iter().partition(|verdict| verdict.verdict == VerdictKind::LineOnly);
    let brief = lines.len() > LINES_NAMED;
    if !report.verdicts.is_empty() {
        let all = report.verdicts.iter().collect();
        print::line(&verdict_table(if brief { named } else { all }).trim_fmt());
    }
    if brief {
        print::line(&format!("and {} with other line numbers only", print::count(lines.len(), "function")));
    }
    for change in &report.types {
        print::line(&format!("\n{}", change.change));
    }
    for note in &report.notes {
        print::line(&format!("note: {note}"));
    }
    match &report.patch {
        _ if report.refused => print::line("refused: no patch was written"),
        None => print::line("nothing to do: the new build runs as the old one does"),
        Some(patch) => {
            let functions = print::count(patch.meta.functions.len(), "function");
            print::line(&format!(
                "{}: replaces {functions} of {}",
                output.display(),
                patch.meta.target.file_name
            ));
        }
    }
}

/// Verdicts for a person.
pub(crate) fn verdict_table<'v>(verdicts: impl IntoIterator<Item = &'v Verdict>) -> comfy_table::Table {
    let mut table = print::table(&["verdict", "symbol", "object", "reason"]);
    for verdict in verdicts {
        let (name, reason) = (demangle::name(&verdict.symbol), demangle::text(&verdict.reason));
        table.add_row([word(verdict.verdict), &name, &verdict.object, &reason]);
    }
    table
}

fn word(verdict: VerdictKind) -> &'static str {
    match verdict {
        VerdictKind::Changed => "changed",
        VerdictKind::PulledIn => "pulled in",
        VerdictKind::New => "new",
        VerdictKind::Removed => "removed",
        VerdictKind::LineOnly => "line only",
        VerdictKind::NewData => "new data",
        VerdictKind::DataValue => "value not applied",
        VerdictKind::ConstData => "constant changed",
        VerdictKind::Assumed => "assumed",
        VerdictKind::Refused => "REFUSED",
        VerdictKind::NotLinked => "not linked",
    }
}
