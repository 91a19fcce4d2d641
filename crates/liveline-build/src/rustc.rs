//! The command line of rustc, as far as it matters here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Whether the compilation writes the debug information that types are read from.
pub(crate) fn tells_types(words: &[OsString]) -> bool {
    let mut level = None;
    let mut all = words.iter();
    while let Some(word) = all.next() {
        let option = match word.as_bytes() {
            b"-g" => Some(&b"debuginfo=2"[..]),
            b"-C" | b"--codegen" => all.next().map(|word| word.as_bytes()),
            bytes => bytes.strip_prefix(b"-C"),
        };
        level = option.and_then(|option| option.strip_prefix(b"debuginfo=")).or(level);
    }
    matches!(level, Some(b"2" | b"full"))
}

/// The words without those that say what is written and where. Of `-C` options the last one counts, so that others can
/// be put behind them; only `incremental` cannot be taken back.
pub(crate) fn without_outputs(words: &[OsString]) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    let mut all = words.iter();
    while let Some(word) = all.next() {
        match word.as_bytes() {
            b"-C" | b"--codegen" => {
                let value = all.next().map_or(OsStr::new(""), OsString::as_os_str);
                if !value.as_bytes().starts_with(b"incremental") {
                    out.extend([word.clone(), value.to_owned()]);
                }
            }
            b"--out-dir" | b"--emit" | b"-o" | b"--error-format" | b"--json" => {
                all.next();
            }
            bytes => {
                let starts = ["--out-dir=", "--emit=", "--error-format=", "--json=", "-Cincremental="];
                if !starts.iter().any(|start| bytes.starts_with(start.as_bytes())) {
                    out.push(word.clone());
                }
            }
        }
    }
    out
}

/// Whether a compilation needs this variable: cargo's and rustup's own, where programs are, and what the source asks for
/// by `env!`, which the file of dependencies names. Nothing else of a person's environment is kept.
pub(crate) fn needs(name: &OsStr, dependencies: &[u8]) -> bool {
    let name = name.as_bytes();
    let secret = [&b"TOKEN"[..], b"CREDENTIAL", b"SECRET", b"PASSWORD"];
    let is_secret = secret.iter().any(|part| name.windows(part.len()).any(|some| some == *part));
    let common = [&b"PATH"[..], b"HOME", b"OUT_DIR", b"TMPDIR", b"LD_LIBRARY_PATH", b"LANG"].contains(&name)
        || name.starts_with(b"CARGO")
        || name.starts_with(b"RUST");
    let asked = dependencies.split(|byte| *byte == b'\n').any(|line| {
        let rest = line.strip_prefix(b"# env-dep:").and_then(|line| line.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
    });
    asked || common && !is_secret
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn debug_information() {
        for line in
            ["-C debuginfo=2 a.rs", "-g a.rs", "-Cdebuginfo=0 -Cdebuginfo=full", "--codegen debuginfo=2"]
        {
            assert!(tells_types(&words(line)), "{line}");
        }
        for line in
            ["a.rs", "-C debuginfo=2 -C debuginfo=0", "-C debuginfo=line-tables-only", "-C opt-level=2"]
        {
            assert!(!tells_types(&words(line)), "{line}");
        }
    }

    #[test]
    fn environment() {
        let dependencies = b"a.d: a.rs\n\n# env-dep:VERGEN=1\n# env-dep:OTHER\n";
        for name in ["CARGO_PKG_NAME", "PATH", "VERGEN", "OTHER", "RUSTUP_TOOLCHAIN"] {
            assert!(needs(OsStr::new(name), dependencies), "{name}");
        }
        for name in ["CARGO_REGISTRY_TOKEN", "AWS_PROFILE", "VERGE", "OTHERS"] {
            assert!(!needs(OsStr::new(name), dependencies), "{name}");
        }
    }

    #[test]
    fn outputs() {
        let line =
            "a.rs --emit=dep-info,link -C opt-level=3 -C incremental=/x --out-dir /y --json=a -C metadata=1";
        assert_eq!(without_outputs(&words(line)), words("a.rs -C opt-level=3 -C metadata=1"));
    }
}
