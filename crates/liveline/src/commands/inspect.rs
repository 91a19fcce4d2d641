//! `inspect`: what a patch file, or a module, holds.

use liveline_elf::demangle;
use liveline_patch::{Patch, Place, SectionKind};
use serde_json::json;

use super::{module, patch_file};
use crate::args::InspectArgs;
use crate::failure::{Code, Failure, Result};
use crate::print;

pub(crate) fn run(args: &InspectArgs) -> Result {
    let bytes = patch_file::contents(&args.file)?;
    if module::is_one(&args.file, &bytes)? {
        return module::inspect(&args.file, &bytes, args.json);
    }
    let patch = patch_file::decode(&args.file, &bytes)?;
    if args.json {
        let sections: Vec<_> = patch
            .sections
            .iter()
            .map(|section| json!({ "name": section.name, "size": section.size, "relocations": section.relocations.len() }))
            .collect();
        let mut meta = serde_json::to_value(&patch.meta).map_err(|e| Failure::failed(e.to_string()))?;
        meta["verdicts"] = print::verdicts(&patch.meta.verdicts)?;
        print::json(&json!({
            "file": args.file.display().to_string(),
            "hash": blake3::hash(&bytes).to_hex().to_string(),
            "meta": meta,
            "sections": sections,
            "imports": imports(&patch),
        }))?;
    } else {
        show(&patch);
    }
    Ok(Code::Done)
}

fn imports(patch: &Patch) -> Vec<&str> {
    let imported = patch.symbols.iter().filter(|symbol| matches!(symbol.place, Place::Import { .. }));
    imported.map(|symbol| symbol.name.as_str()).collect()
}

fn show(patch: &Patch) {
    let meta = &patch.meta;
    let target = &meta.target;
    print::line(&format!("{} {}, made by {}", meta.name, meta.version, meta.made_by));
    let kind = if target.executable { "program" } else { "library" };
    print::line(&format!(
        "for {kind} {}, build-id {}",
        target.file_name,
        target.build_id.as_deref().unwrap_or("none (known by its code)")
    ));
    for needed in &meta.requires {
        print::line(&format!("needs {} {} in the process first", needed.name, needed.version));
    }
    let mut table = print::table(&["replaces", "at", "bytes", "file"]);
    for function in &meta.functions {
        table.add_row([
            demangle::name(&function.name).into_owned(),
            format!("{:#x}", function.address),
            function.size.to_string(),
            function.file.clone().unwrap_or_default(),
        ]);
    }
    print::line(&table.trim_fmt());
    let size = |kinds: &[SectionKind]| -> u64 {
        patch
            .sections
            .iter()
            .filter(|section| kinds.contains(&section.kind))
            .map(|section| section.size)
            .sum()
    };
    print::line(&format!(
        "brings {} bytes of code, {} of constants, {} of data",
        size(&[SectionKind::Text]),
        size(&[SectionKind::Rodata]),
        size(&[SectionKind::Data, SectionKind::Bss])
    ));
    let imports = imports(patch);
    if !imports.is_empty() {
        print::line(&format!("needs from other libraries: {}", imports.join(", ")));
    }
    if !meta.verdicts.is_empty() {
        print::line("");
        print::line(&super::diff::verdict_table(&meta.verdicts).trim_fmt());
    }
    if !meta.assumed.is_empty() {
        print::line(&format!("assumed to be harmless: {}", meta.assumed.join(", ")));
    }
    if meta.types_unchecked {
        print::line("types were not compared (--no-types)");
    }
    for note in &meta.notes {
        print::line(&format!("note: {note}"));
    }
}
