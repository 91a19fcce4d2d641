//! By what a rebuilt program is known to be the archive's.

use std::fs;
use std::path::Path;

use super::command::{Failure, Quiet, Result, Tried, output_of};

/// Says by what the rebuilt program is proved to be the stock one.
pub fn prove(stock: &Path, rebuilt: &Path) -> Result<String> {
    let (theirs, ours) = (build_id(stock)?, build_id(rebuilt)?);
    if theirs == ours {
        return Ok(format!("same build-id {theirs}"));
    }
    if same_image(stock, rebuilt)? {
        return Ok(
            "every loaded byte is the same but the build-id itself, which also counts debug information"
                .into(),
        );
    }
    let differ = differing_sections(stock, rebuilt)?;
    Err(Failure(format!(
        "{} is not the stock binary: {} differ. Are path, compiler and libraries those of the archive's build?",
        rebuilt.display(),
        differ.join(", ")
    )))
}

/// The build-id of an ELF file, in hex.
pub fn build_id(file: &Path) -> Result<String> {
    let text = output_of(&format!("readelf -n {}", file.display()))?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("Build ID: "))
        .map(String::from)
        .ok_or_else(|| Failure(format!("{} has no build-id", file.display())))
}

/// Whether two programs load the same bytes, the build-id aside.
pub fn same_image(a: &Path, b: &Path) -> Result<bool> {
    let folder = tempfile::tempdir().tried("make a temporary folder")?;
    let image = |file: &Path, name: &str| -> Result<Vec<u8>> {
        let to = folder.path().join(name);
        let line = format!(
            "objcopy -O binary --remove-section=.note.gnu.build-id {} {}",
            file.display(),
            to.display()
        );
        Quiet::new(folder.path(), &line).run()?;
        fs::read(&to).tried("read the image")
    };
    Ok(image(a, "a")? == image(b, "b")?)
}

/// The loaded sections whose bytes differ, by name, with the number of bytes.
fn differing_sections(a: &Path, b: &Path) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().tried("make a temporary folder")?;
    let section = |file: &Path, name: &str| -> Result<Vec<u8>> {
        let to = folder.path().join("section");
        let _ = fs::remove_file(&to);
        let line = format!("objcopy -O binary --only-section={name} {} {}", file.display(), to.display());
        Quiet::new(folder.path(), &line).run()?;
        Ok(fs::read(&to).unwrap_or_default())
    };
    let mut differ = Vec::new();
    for name in loaded_sections(a)? {
        let (x, y) = (section(a, &name)?, section(b, &name)?);
        let bytes = x.iter().zip(&y).filter(|(x, y)| x != y).count() + x.len().abs_diff(y.len());
        if bytes > 0 {
            differ.push(format!("{name} ({bytes} bytes)"));
        }
    }
    Ok(differ)
}

fn loaded_sections(file: &Path) -> Result<Vec<String>> {
    let text = output_of(&format!("objdump -h -w {}", file.display()))?;
    let rows = text.lines().filter(|line| line.contains("LOAD") && line.contains("CONTENTS"));
    Ok(rows.filter_map(|line| line.split_whitespace().nth(1)).map(String::from).collect())
}
