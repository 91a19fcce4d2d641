//! The command line of a compiler driver: what it will do, as far as it matters here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a driver was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Preprocess, ask a question, write assembly: nothing to be recorded.
    Other,
    /// Sources to assembly, from which objects are made later.
    Assembly,
    /// Sources to objects.
    Compile,
    /// Anything that ends in a link.
    Link,
}

/// A driver's command line, with response files read in.
#[derive(Debug)]
pub(crate) struct Command {
    words: Vec<OsString>,
}

/// Options whose value is the next word and could look like a source.
const WITH_VALUE: [&str; 22] = [
    "-o",
    "-MF",
    "-MT",
    "-MQ",
    "-I",
    "-L",
    "-D",
    "-U",
    "-include",
    "-imacros",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-isysroot",
    "-x",
    "-Xlinker",
    "-Xassembler",
    "-Xpreprocessor",
    "-T",
    "-u",
    "-z",
    "-arch",
];

const SOURCES: [&str; 14] =
    ["c", "i", "ii", "cc", "cp", "cxx", "cpp", "CPP", "c++", "C", "m", "mm", "s", "S"];

impl Command {
    /// Reads the words of a command line.
    pub(crate) fn new(words: &[OsString], folder: &Path) -> Self {
        let mut all = Vec::new();
        expand(words, folder, 0, &mut all);
        Self { words: all }
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }

    fn begins(&self, start: &str) -> bool {
        self.words.iter().any(|own| own.as_bytes().starts_with(start.as_bytes()))
    }

    /// What is to be done.
    pub(crate) fn task(&self) -> Task {
        let questions =
            ["-E", "-M", "-MM", "-fsyntax-only", "--version", "-dumpversion", "-dumpmachine", "-###"];
        if questions.iter().any(|word| self.has(word))
            || ["-print-", "--print-", "--help", "-dumpfullversion"].iter().any(|start| self.begins(start))
        {
            return Task::Other;
        }
        if self.has("-S") {
            return Task::Assembly;
        }
        if self.has("-c") {
            return Task::Compile;
        }
        let inputs = self.words.iter().any(|word| !word.as_bytes().starts_with(b"-"));
        if inputs { Task::Link } else { Task::Other }
    }

    /// The value behind an option.
    pub(crate) fn value(&self, option: &str) -> Option<&OsStr> {
        let at = self.words.iter().position(|word| word == option);
        if let Some(at) = at {
            return self.words.get(at + 1).map(OsString::as_os_str);
        }
        let joined =
            |word: &'_ &OsString| word.as_bytes().starts_with(option.as_bytes()) && option.len() == 2;
        self.words.iter().find(joined).map(|word| OsStr::from_bytes(&word.as_bytes()[option.len()..]))
    }

    /// Source files.
    pub(crate) fn sources(&self) -> Vec<&Path> {
        let mut out = Vec::new();
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            if WITH_VALUE.iter().any(|option| word == option) {
                words.next();
                continue;
            }
            let path = Path::new(word);
            let known = path.extension().is_some_and(|end| SOURCES.iter().any(|known| end == *known));
            if !word.as_bytes().starts_with(b"-") && (known || self.has("-x")) {
                out.push(path);
            }
        }
        out
    }

    /// The object that is written, if there is one source.
    pub(crate) fn object(&self) -> Option<PathBuf> {
        if let Some(output) = self.value("-o") {
            return Some(output.into());
        }
        match self.sources()[..] {
            [source] => Some(Path::new(source.file_name()?).with_extension("o")),
            _ => None,
        }
    }

    /// What each source becomes, where that is more or other than [`Self::object`].
    pub(crate) fn outputs(&self) -> Vec<PathBuf> {
        match (self.value("-o"), self.task()) {
            (Some(output), _) => vec![output.into()],
            (None, Task::Link) => vec!["a.out".into()],
            (None, task) => {
                let end = if task == Task::Assembly { "s" } else { "o" };
                let named = |source: &&Path| Some(Path::new(source.file_name()?).with_extension(end));
                self.sources().iter().filter_map(named).collect()
            }
        }
    }

    /// The words that have the driver tell what it reads, and do nothing.
    pub(crate) fn asking(&self) -> Vec<&OsStr> {
        let mut out = Vec::new();
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            match word.as_bytes() {
                b"-o" | b"-MF" | b"-MT" | b"-MQ" => {
                    words.next();
                }
                b"-c" | b"-S" | b"-MD" | b"-MMD" | b"-MP" => {}
                bytes if bytes.starts_with(b"-Wp,-M") || bytes.starts_with(b"-save-temps") => {}
                _ => out.push(word.as_os_str()),
            }
        }
        out.push(OsStr::new("-M"));
        out
    }

    /// Where the compiler writes what it read, if it was told to.
    pub(crate) fn dependency_file(&self) -> Option<PathBuf> {
        for word in &self.words {
            for start in ["-Wp,-MD,", "-Wp,-MMD,"] {
                if let Some(rest) = word.as_bytes().strip_prefix(start.as_bytes()) {
                    let end = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
                    return Some(OsStr::from_bytes(&rest[..end]).into());
                }
            }
        }
        if !self.has("-MD") && !self.has("-MMD") {
            return None;
        }
        match self.value("-MF") {
            Some(file) => Some(file.into()),
            None => Some(self.object()?.with_extension("d")),
        }
    }

    /// Folders in which the driver is to look for its own programs.
    pub(crate) fn prefixes(&self) -> Vec<OsString> {
        let mut out = Vec::new();
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            match word.as_bytes().strip_prefix(b"-B") {
                Some(b"") => out.extend(words.next().cloned()),
                Some(rest) => out.push(OsStr::from_bytes(rest).to_owned()),
                None => {}
            }
        }
        out
    }
}

/// Puts the words of response files (`@file`) in their place.
pub(crate) fn expand(words: &[OsString], folder: &Path, depth: usize, out: &mut Vec<OsString>) {
    for word in words {
        let file = word.as_bytes().strip_prefix(b"@").map(OsStr::from_bytes);
        match file.and_then(|file| std::fs::read(folder.join(file)).ok()) {
            Some(text) if depth < 8 => expand(&split(&text), folder, depth + 1, out),
            _ => out.push(word.clone()),
        }
    }
}

/// Splits a response file as gcc does: at white space, with quotes and backslashes.
fn split(text: &[u8]) -> Vec<OsString> {
    let mut out = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (_, b'\\') => word.get_or_insert_default().extend(bytes.next()),
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(byte),
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (None, _) if byte.is_ascii_whitespace() => out.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(byte),
        }
    }
    out.extend(word);
    out.into_iter().map(|word| OsStr::from_bytes(&word).to_owned()).collect()
}

/// The prerequisites in a rule of make, as compilers write it.
pub(crate) fn prerequisites(text: &[u8]) -> Vec<OsString> {
    let mut out = Vec::new();
    let mut word = Vec::new();
    let mut target = true;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'\n') | None => {}
                Some(b'\r') => {}
                Some(next @ (b' ' | b'#' | b':')) => word.push(next),
                Some(next) => word.extend([b'\\', next]),
            },
            b'$' if bytes.peek() == Some(&b'$') => {
                bytes.next();
                word.push(b'$');
            }
            b':' if target && bytes.peek().is_none_or(|next| next.is_ascii_whitespace()) => {
                target = false;
                word.clear();
            }
            _ if byte.is_ascii_whitespace() => {
                if !target && !word.is_empty() {
                    out.push(OsStr::from_bytes(&word).to_owned());
                }
                word.clear();
                // Behind the first rule come empty ones, one a header (-MP).
                target |= byte == b'\n';
            }
            _ => word.push(byte),
        }
    }
    if !target && !word.is_empty() {
        out.push(OsStr::from_bytes(&word).to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Command::new(&words, Path::new("/"))
    }

    #[test]
    fn tasks() {
        assert_eq!(command("-c a.c -o a.o").task(), Task::Compile);
        assert_eq!(command("a.o -o a -lm").task(), Task::Link);
        assert_eq!(command("-S a.c").task(), Task::Assembly);
        assert_eq!(command("-E a.c").task(), Task::Other);
        assert_eq!(command("--version").task(), Task::Other);
        assert_eq!(command("-MM a.c").task(), Task::Other);
        assert_eq!(command("-v").task(), Task::Other);
    }

    #[test]
    fn objects_and_dependencies() {
        assert_eq!(command("-c src/a.c").object(), Some("a.o".into()));
        assert_eq!(command("-c src/a.c -ob.o").object(), Some("b.o".into()));
        assert_eq!(command("-c a.c b.c").object(), None);
        assert_eq!(command("-c -MMD a.c -o x/a.o").dependency_file(), Some("x/a.d".into()));
        assert_eq!(command("-c -MD -MF d/a a.c").dependency_file(), Some("d/a".into()));
        assert_eq!(command("-c -Wp,-MMD,.a.d a.c").dependency_file(), Some(".a.d".into()));
        assert_eq!(command("-c a.c").dependency_file(), None);
        assert_eq!(command("-B /x -B/y a.o").prefixes(), ["/x", "/y"]);
    }

    #[test]
    fn several_sources() {
        assert_eq!(command("-c x/a.c b.c").outputs(), [Path::new("a.o"), Path::new("b.o")]);
        assert_eq!(command("-S x/a.c").outputs(), [Path::new("a.s")]);
        assert_eq!(command("a.c b.c").outputs(), [Path::new("a.out")]);
        assert_eq!(command("-o p a.c -MMD -MF d -O2").asking(), ["a.c", "-O2", "-M"]);
    }

    #[test]
    fn rules_of_make() {
        let found = prerequisites(b"a.o: a.c my\\ header.h \\\n  cost$$.h\n\nmy\\ header.h:\ncost$$.h:\n");
        assert_eq!(found, ["a.c", "my header.h", "cost$.h"]);
    }

    #[test]
    fn response_files() {
        assert_eq!(split(b"a.o \"b c.o\" d\\ e.o 'f'\n"), ["a.o", "b c.o", "d e.o", "f"]);
    }
}
