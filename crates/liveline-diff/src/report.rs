//! The whole way from a request to a report.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use liveline_patch::{Verdict, VerdictKind};

use crate::close::Pair;
use crate::compare::{Comparison, compare};
use crate::input::{Build, Paired};
use crate::judge::Work;
use crate::program::Program;
use crate::prove::Identities;
use crate::unit::Unit;
use crate::{Described, DiffError, Report, Request};

/// Makes a patch from two builds, or says why there is none.
///
/// Errors are inputs that cannot be read or compared at all; what cannot be carried by a patch is a verdict.
pub fn diff(request: &Request) -> Result<Report, DiffError> {
    compare_builds(request, None)
}

/// As [`diff`], with the debug information of crates in objects of their own.
pub fn diff_described(request: &Request, described: &Described) -> Result<Report, DiffError> {
    compare_builds(request, Some(described))
}

fn compare_builds(request: &Request, described: Option<&Described>) -> Result<Report, DiffError> {
    let mut old = Build::read(&request.old)?;
    let mut new = Build::read(&request.new)?;
    if let Some(folders) = described {
        old.describe(&folders.old)?;
        new.describe(&folders.new)?;
    }
    let read = |path: &Path| fs::read(path).map_err(|source| DiffError::Read { path: path.into(), source });
    let data = read(&request.target)?;
    let debug = request.debug.as_ref().map(|path| read(path).map(|data| (path, data))).transpose()?;
    let twin = debug.as_ref().map(|(path, data)| (path.as_path(), &**data));
    let program = Program::read(&request.target, &data, twin)?;
    let single = request.old.file_name().and_then(|name| name.to_str()).unwrap_or("object").to_owned();
    let pairs = match read_pairs(&Build::pair(&old, &new, &single), &program) {
        Err(error @ (DiffError::Lto { .. } | DiffError::NotX86 { .. })) => return Ok(refusal(&error)),
        pairs => pairs?,
    };
    let mut work = Work::new(program, pairs);
    work.judge();
    work.finish(request)
}

/// The report on objects that hold nothing to compare.
fn refusal(error: &DiffError) -> Report {
    let (DiffError::Lto { name } | DiffError::NotX86 { name }) = error else { return Report::default() };
    let verdict = Verdict {
        object: name.clone(),
        symbol: String::new(),
        verdict: VerdictKind::Refused,
        reason: error.to_string(),
    };
    Report { verdicts: vec![verdict], refused: true, objects: 1, ..Report::default() }
}

/// Reads and compares all pairs on all processors.
fn read_pairs<'d>(inputs: &[Paired<'d>], program: &Program) -> Result<Vec<Pair<'d>>, DiffError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Pair<'d>, DiffError>)>> = Mutex::new(Vec::new());
    let workers =
        std::thread::available_parallelism().map_or(1, |count| count.get()).min(inputs.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let index = inputs.iter().position(|other| std::ptr::eq(other, input)).unwrap_or(0);
                    let pair = read_pair(*input, program);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, pair));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, pair)| pair).collect()
}

fn read_pair<'d>(input: Paired<'d>, program: &Program) -> Result<Pair<'d>, DiffError> {
    let [before, after] = input.described;
    let read = |data, described| Unit::read_described(input.name, data, described);
    let old = input.old.map(|data| read(data, before)).transpose()?.map(Arc::new);
    let (new, comparison) = match (&old, input.new) {
        (Some(old), Some(data)) if input.old == Some(data) => {
            (Some(Arc::clone(old)), Comparison::identical(old.pieces.len()))
        }
        (Some(old), Some(data)) => {
            let new = read(data, after)?;
            let comparison = compare(old, &new);
            (Some(Arc::new(new)), comparison)
        }
        (None, Some(data)) => {
            let new = read(data, after)?;
            let fresh = Comparison { old_of: vec![None; new.pieces.len()], ..Comparison::default() };
            (Some(Arc::new(new)), fresh)
        }
        (old, None) => {
            let gone = old.as_ref().map_or(0, |old| old.pieces.len());
            (None, Comparison { new_of: vec![None; gone], ..Comparison::default() })
        }
    };
    let places = old.as_ref().map_or_else(Identities::none, |old| Identities::new(old, program));
    Ok(Pair { name: input.name, old, new, comparison, places })
}
