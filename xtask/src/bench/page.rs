//! A benchmark's table, on the screen and as docs/bench/NAME.md.

use std::fs;

use comfy_table::{Table, presets};

use crate::shell::{Result, Tried, output_of, workspace};

/// What a benchmark found, for people.
pub(super) struct Page<'a> {
    pub(super) name: &'a str,
    /// What `cargo xtask bench` is given to make it.
    pub(super) command: &'a str,
    pub(super) title: &'a str,
    /// What was measured, and how.
    pub(super) method: &'a str,
    /// How quiet the machine was.
    pub(super) quiet: String,
    pub(super) head: Vec<&'a str>,
    pub(super) rows: Vec<Vec<String>>,
    /// What it means: the goal, and whether it is met.
    pub(super) verdict: String,
}

impl Page<'_> {
    /// Prints the table unless the output is JSON, and writes the page.
    pub(super) fn publish(&self, json: bool) -> Result<()> {
        if !json {
            let mut table = Table::new();
            table.load_style(presets::UTF8_FULL_CONDENSED).set_header(&self.head);
            for row in &self.rows {
                table.add_row(row);
            }
            println!("\n{table}\n{}\n{}", self.quiet, self.verdict);
        }
        // A page speaks for this tree's own build, not for whatever program $LIVELINE names.
        if std::env::var_os("LIVELINE").is_some() {
            eprintln!("LIVELINE is set: docs/bench/{}.md is left as it was", self.name);
            return Ok(());
        }
        let mut text = format!("# {}\n\n{}\n\n{} {}\n\n", self.title, self.method, machine(), self.quiet);
        text += &format!("| {} |\n|{}\n", self.head.join(" | "), "---|".repeat(self.head.len()));
        for row in &self.rows {
            text += &format!("| {} |\n", row.join(" | "));
        }
        text += &format!("\n{}\n\nMade by `cargo xtask bench {}`.\n", self.verdict, self.command);
        let folder = workspace().join("docs/bench");
        fs::create_dir_all(&folder).tried("make docs/bench")?;
        let file = folder.join(format!("{}.md", self.name));
        fs::write(&file, text).tried(format!("write {}", file.display()))
    }
}

/// Date, machine and revision, in a line.
pub(crate) fn machine() -> String {
    let words = |line: &str| output_of(line).map(|s| s.trim().to_string()).unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown processor", |l| l.trim_start_matches([' ', '\t', ':']));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let kind = if cpuinfo.contains(" hypervisor ") { ", virtual" } else { "" };
    // A measurement of code that no revision holds must say so.
    let changed = words("git status --porcelain --untracked-files=no -- crates");
    let changed = if changed.is_empty() { "" } else { " with uncommitted changes" };
    format!(
        "{}, {model}, {cpus} CPUs{kind}, Linux {}, liveline at {}{changed}.",
        words("date -u +%F"),
        words("uname -r"),
        words("git rev-parse --short HEAD")
    )
}
