//! Completions and man pages, from the one definition of the command line.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Liveline;
use crate::failure::{Code, Failure, Result};
use crate::print;

pub(crate) fn completions(shell: clap_complete::Shell) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Liveline::command(), "liveline", &mut script);
    print::out(&script);
    Ok(Code::Done)
}

pub(crate) fn man(directory: &Path) -> Result {
    std::fs::create_dir_all(directory).map_err(|error| Failure::file(directory, error))?;
    clap_mangen::generate_to(Liveline::command(), directory)
        .map_err(|error| Failure::file(directory, error))?;
    Ok(Code::Done)
}
