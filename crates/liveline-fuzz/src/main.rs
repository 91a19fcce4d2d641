//! `liveline-fuzz`: reads millions of damaged inputs; stops at the first that is not read as it should be.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use liveline_fuzz::corpus::{self, CorpusError, Input, unpack};
use liveline_fuzz::run::read_one;
use liveline_fuzz::target::{ALL, Target};
use liveline_fuzz::{Options, run};

/// Reads damaged patches, programs, objects, archives, unwind tables and records, and stops at the first panic,
/// hang or excessive use of memory.
#[derive(Debug, Parser)]
struct Args {
    /// How many inputs.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// What the inputs are made from; a number of its own each time if none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// One target only.
    #[arg(long, value_name = "NAME", value_parser = named)]
    only: Option<&'static Target>,
    /// Threads; as many as there are processors if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Reads one saved input instead.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

fn named(name: &str) -> Result<&'static Target, String> {
    let names: Vec<&str> = ALL.iter().map(|target| target.name).collect();
    Target::named(name).ok_or_else(|| format!("targets are {}", names.join(", ")))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.replay {
        Some(path) => replay(path, args.only),
        None => fuzz(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("fuzz: {error}");
        ExitCode::FAILURE
    })
}

fn fuzz(args: &Args) -> Result<ExitCode, CorpusError> {
    let seed = args.seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64)
    });
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    println!("fuzz: seed {seed}, {threads} threads");
    let summary = run(Options { runs: args.runs, seed, only: args.only, threads, progress: true })?;
    for (name, runs, good, time) in &summary.targets {
        let each = time.as_secs_f64() * 1e6 / *runs as f64;
        println!("{name:8} {runs:>9} runs, {good:>8} taken for good, {each:>6.1} us each");
    }
    let failures = usize::from(summary.failure.is_some());
    if let Some(failure) = &summary.failure {
        println!("{}: {}", failure.target.name, failure.what);
        match failure.save(&corpus::folder().join("crashes")) {
            Ok(path) => {
                let path = path.canonicalize().unwrap_or(path);
                println!("again: cargo run --profile fuzz -p liveline-fuzz -- --replay {}", path.display());
            }
            Err(error) => println!("the input could not be saved: {error}"),
        }
    }
    println!("fuzz: {} runs, {failures} failures, {:.1} s", summary.runs, summary.took.as_secs_f64());
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The target is that of the file's folder, or of its name (`TARGET-…`).
fn replay(path: &Path, only: Option<&'static Target>) -> Result<ExitCode, CorpusError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let target = only
        .or_else(|| Target::named(folder))
        .or_else(|| Target::named(name.split('-').next().unwrap_or_default()))
        .ok_or_else(|| CorpusError::NoTarget(path.into()))?;
    let input: Input = unpack(&corpus::read(path)?, target.parts.len());
    let folder = std::env::temp_dir().join(format!("liveline-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|source| CorpusError::Read { path: folder.clone(), source })?;
    let start = std::time::Instant::now();
    let result = read_one(target, &input, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    match result {
        Ok(good) => {
            let taken = if good { "taken for good" } else { "refused" };
            println!("fuzz: {}: {taken}, {milliseconds:.3} ms", target.name);
            Ok(ExitCode::SUCCESS)
        }
        Err(what) => {
            println!("fuzz: {}: {what}", target.name);
            Ok(ExitCode::FAILURE)
        }
    }
}
