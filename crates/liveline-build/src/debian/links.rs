//! What compilers were told: which objects went into which program.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::command::{Failure, Result, Tried};

/// One command of a compiler.
#[derive(Debug)]
struct Command {
    folder: PathBuf,
    arguments: Vec<String>,
}

/// The commands of one build.
pub(super) struct Links {
    commands: Vec<Command>,
}

impl Links {
    /// Reads what the room's compilers noted. Paths in it begin with `/build`, which is `build` out here.
    pub(super) fn read(record: &Path) -> Result<Self> {
        let mut commands = Vec::new();
        for entry in fs::read_dir(record).tried(format!("read {}", record.display()))? {
            let path = entry.tried(format!("read {}", record.display()))?.path();
            let bytes = fs::read(&path).tried(format!("read {}", path.display()))?;
            commands.extend(parse(&String::from_utf8_lossy(&bytes)));
        }
        Ok(Links { commands })
    }

    /// The objects and archives that were linked into `product` (a path inside the room), in their order.
    pub(super) fn inputs(&self, product: &Path, outside: impl Fn(&Path) -> PathBuf) -> Result<Vec<PathBuf>> {
        let links = |command: &&Command| command.output().is_some_and(|output| output == product);
        let command =
            self.commands.iter().find(links).ok_or_else(|| {
                Failure(format!("the build ran no compiler that linked {}", product.display()))
            })?;
        let mut inputs = Vec::new();
        for argument in &command.arguments {
            let words = match argument.strip_prefix('@') {
                Some(file) => {
                    let file = outside(&clean(&command.folder.join(file)));
                    let text = fs::read_to_string(&file).tried(format!("read {}", file.display()))?;
                    text.split_whitespace().map(String::from).collect()
                }
                None => vec![argument.clone()],
            };
            let objects = words.iter().filter(|w| [".o", ".lo", ".a"].iter().any(|end| w.ends_with(end)));
            inputs.extend(objects.filter(|w| !w.starts_with('-')).map(|w| clean(&command.folder.join(w))));
        }
        Ok(inputs)
    }
}

impl Command {
    /// What it links; none if it only compiles.
    fn output(&self) -> Option<PathBuf> {
        if self.arguments.iter().any(|a| ["-c", "-S", "-E", "-M", "-MM"].contains(&a.as_str())) {
            return None;
        }
        let at = self.arguments.iter().position(|a| a == "-o")?;
        Some(clean(&self.folder.join(self.arguments.get(at + 1)?)))
    }
}

/// One record a command: folder, program, arguments, each ended by a zero byte; a line break in place of the next.
fn parse(text: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for word in text.split('\0') {
        if word != "\n" {
            words.push(word.to_string());
            continue;
        }
        if words.len() >= 2 {
            let arguments = words.split_off(2);
            commands.push(Command { folder: PathBuf::from(&words[0]), arguments });
        }
        words.clear();
    }
    commands
}

/// The path without `.` and `..`.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_of_a_link_are_told_from_those_of_others() {
        let text = "/build/x/src\0gcc\0-c\0a.c\0-o\0a.o\0\n\0/build/x/src\0cc\0-o\0server\0a.o\0../deps/./l.a\0-lm\0\n\0";
        let links = Links { commands: parse(text) };
        let inputs = links.inputs(Path::new("/build/x/src/server"), Path::to_path_buf).unwrap();
        assert_eq!(inputs, [Path::new("/build/x/src/a.o"), Path::new("/build/x/deps/l.a")]);
        assert!(links.inputs(Path::new("/build/x/src/a.o"), Path::to_path_buf).is_err());
    }
}
