//! What objects that can be replaced cost, beside what people use today.

use std::path::Path;
use std::process::{Command, Stdio};

use liveline_demo::Words;
use serde::{Deserialize, Serialize};

use super::page::Page;
use crate::shell::{Failure, Result, Tried, release};

/// What `liveline-runtime-bench` is asked for, one process each.
const PARTS: [&[&str]; 8] = [
    &["calls"],
    &["cores"],
    &["swap", "threads"],
    &["swap", "tasks"],
    &["class"],
    &["memory", "box"],
    &["memory", "reference"],
    &["soak"],
];
const OURS: &str = "ObjectRef<dyn Trait>";
const PLAIN: &str = "Box<dyn Trait>";

/// A figure, as the program writes it.
#[derive(Serialize, Deserialize)]
struct Figure {
    what: String,
    subject: String,
    value: f64,
    unit: String,
}

/// All figures of a run.
struct Figures(Vec<Figure>);

/// Measures, prints and writes docs/bench/runtime.md.
pub(crate) fn run(words: Words, json: bool) -> Result<()> {
    words.step("bench runtime: objects that can be replaced, beside what people use today");
    let program = release("liveline-runtime-bench", words)?;
    let quiet = super::quiet::wait(words);
    let mut figures = Figures(Vec::new());
    for part in PARTS {
        words.line(&part.join(" "));
        figures.0.extend(measure(&program, part)?);
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&figures.0).tried("write JSON")?);
    }
    Page {
        quiet,
        name: "runtime",
        command: "runtime",
        title: "liveline-runtime beside its peers",
        method: "Calls: the best of 40 rounds of 200,000 calls of a function that adds 3, subjects by turns; each in eight copies \
                 of its loop, since where a linker puts a loop makes a call up to half a nanosecond dearer: the median copy, and the \
                 dearest. At once: the median of rounds, since in the best one the other threads had no processor. The last \
                 column is ns or bytes above `Box<dyn Trait>`. `hot-lib-reloader`: a function of a library built for the run, \
                 called as the code that `hot_module` writes calls it. Swap: 1,000 callers, each in calls of 25 to 75 ms, by chance; \
                 20 swaps of a stateless object; a delay counts from where the longest call that was inside when the swap \
                 began has left. \"In step\": all calls take 50 ms, and swaps come as they end, so that all callers have waited \
                 equally long. `arc-swap` and crossbeam-epoch leave calls inside in the old object and hand over no state, so \
                 they have no row there. Class: 1,000,000 instances whose layout changes, while two threads call random ones \
                 (64 calls, then 50 µs of rest); \"no update\" is the same without any. A call over 1 ms waited if its thread went to sleep in it; \
                 otherwise it had no processor.",
        head: vec!["what", "subject", "value", "above Box"],
        rows: figures.rows(),
        verdict: figures.verdict(),
    }
    .publish(json)
}

fn measure(program: &Path, part: &[&str]) -> Result<Vec<Figure>> {
    let output = Command::new(program)
        .args(part)
        .stderr(Stdio::inherit())
        .output()
        .tried(format!("run {}", program.display()))?;
    if !output.status.success() {
        return Err(Failure(format!(
            "{} {} ended with {}",
            program.display(),
            part.join(" "),
            output.status
        )));
    }
    serde_json::from_slice(&output.stdout).tried("read the figures")
}

impl Figures {
    fn value(&self, what: &str, subject: &str) -> Option<f64> {
        self.0.iter().find(|f| f.what.starts_with(what) && f.subject == subject).map(|f| f.value)
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let row = |figure: &Figure| {
            let comparable = ["ns", "bytes"].contains(&figure.unit.as_str()) && figure.subject != PLAIN;
            let plain = comparable.then(|| self.value(&figure.what, PLAIN)).flatten();
            let above = plain.map(|plain| format!("{:+.2}", figure.value - plain)).unwrap_or_default();
            vec![figure.what.clone(), figure.subject.clone(), amount(figure), above]
        };
        self.0.iter().map(row).collect()
    }

    /// The goals, each with what was measured.
    fn verdict(&self) -> String {
        let value = |what: &str, subject: &str| self.value(what, subject).unwrap_or(f64::NAN);
        let above = |what| value(what, OURS) - value(what, PLAIN);
        let together = |end: &str, subject: &str| {
            let found = self.0.iter().find(|f| f.what.ends_with(end) && f.subject == subject);
            found.map_or(f64::NAN, |f| f.value)
        };
        let shared = |subject| together("threads at once", subject);
        let of_sharing = |subject| shared(subject) / together("an object each", subject);
        let of_one = |subject| shared(subject) / together("one thread alone", subject);
        let memory = "memory of an object";
        let handle = "of that, the handle";
        let entry = above(memory) - above(handle);
        let long = |subject| value("calls over 1 ms", subject);
        let of_update = "update of 1,000,000 instances under load";
        let eager = value(of_update, "eager update");
        let lazy = value(of_update, "lazy update");
        let waited = |subject| value("of those, calls that waited", subject);
        let last = |subject: &str| value("delay beyond the longest call, last caller", subject);
        let tasks = last("1,000 tasks");
        let [threads, locked, step, step_locked, woken] = [
            "",
            ", RwLock<Box<dyn>>",
            " in step",
            " in step, RwLock<Box<dyn>>",
            " woken by one futex call (floor)",
        ]
        .map(|more| last(&format!("1,000 threads{more}")));
        let late = value("callers delayed by more than that", "1,000 threads");
        let soak = |what: &str| {
            self.0.iter().find(|f| f.what.ends_with(what)).map_or(f64::NAN, |figure| figure.value)
        };
        let lines = [
            goal(
                above("call, one thread") <= 1.0,
                "a call at most 1 ns over `Box<dyn Trait>`",
                format!("{:.2} ns", above("call, one thread")),
            ),
            goal(
                of_one(OURS) <= of_one(PLAIN) * 1.1,
                "on all processors as `Box<dyn Trait>` scales",
                format!("{:.2} times the time of one thread, `Box` {:.2}", of_one(OURS), of_one(PLAIN)),
            ),
            goal(
                of_sharing(OURS) <= of_sharing(PLAIN) * 1.1,
                "one object for all processors costs no more than an object each",
                format!("{:.2} times that, `Box` {:.2}", of_sharing(OURS), of_sharing(PLAIN)),
            ),
            goal(
                tasks <= 50.0,
                "1,000 tasks delayed at most the longest call and 50 µs",
                format!("the last of them after {tasks:.0} µs (median swap)"),
            ),
            goal(
                threads <= 50.0,
                "1,000 threads delayed at most the longest call and 50 µs",
                format!(
                    "the last of them after {threads:.0} µs (median swap; {late:.2} % of all callers later than 50 µs), behind an \
                     `RwLock` after {locked:.0} µs. In step after {step:.0} µs, behind an `RwLock` after {step_locked:.0} µs; one \
                     futex call that wakes 1,000 threads takes {woken:.0} µs on these processors"
                ),
            ),
            goal(eager <= 1000.0, "1,000,000 instances replaced within 1 s", format!("{eager:.0} ms")),
            goal(lazy <= 1.0, "a lazy update within 1 ms", format!("{lazy:.2} ms")),
            goal(
                waited("eager update") == 0.0 && waited("lazy update") == 0.0,
                "no call delayed over 1 ms by an update",
                format!(
                    "{} calls waited longer in the eager update and {} in the lazy one. Without a processor for longer \
                     were {} and {}; {} with no update at all, {} beside a thread that replaced as many boxes",
                    waited("eager update"),
                    waited("lazy update"),
                    long("eager update") - waited("eager update"),
                    long("lazy update") - waited("lazy update"),
                    long("no update"),
                    long("no update, another thread replaces 1,000,000 boxes"),
                ),
            ),
            goal(
                above(memory) <= 32.0,
                "at most 32 bytes for each object over itself",
                format!(
                    "{:.1} bytes over a `Box` with its handle: an entry of {entry:.1} bytes ({:.1} of it are room that is \
                     not used yet), and a handle 8 bytes smaller",
                    above(memory),
                    entry - 32.0
                ),
            ),
            goal(
                soak("lost or doubled") == 0.0 && soak("add up") == 1.0 && soak("first tenth") <= 1024.0,
                "100,000 swaps under load: 0 calls lost or doubled, memory flat",
                format!("{} lost or doubled, {:.0} KiB grown", soak("lost or doubled"), soak("first tenth")),
            ),
        ];
        format!("Goals:\n\n{}", lines.join("\n"))
    }
}

fn goal(met: bool, what: &str, measured: String) -> String {
    format!("- {}: {what}. Here: {measured}.", if met { "met" } else { "**not met**" })
}

/// A number with its unit, as short as it is clear.
fn amount(figure: &Figure) -> String {
    let number = match figure.value {
        value if value.fract() == 0.0 || value.abs() >= 1000.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    };
    format!("{number} {}", figure.unit).trim_end().to_string()
}
