//! Prints what `diff` finds: `diff OLD NEW TARGET [DEBUG]`.

use std::path::PathBuf;

use liveline_diff::{Request, diff};

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [old, new, target, rest @ ..] = &*arguments else {
        eprintln!("usage: diff OLD NEW TARGET [DEBUG]");
        std::process::exit(2);
    };
    let request = Request {
        old: old.clone(),
        new: new.clone(),
        target: target.clone(),
        debug: rest.first().cloned(),
        name: "example".into(),
        version: "1".into(),
        requires: Vec::new(),
        assume: Vec::new(),
        no_types: false,
    };
    let start = std::time::Instant::now();
    let report = match diff(&request) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    println!("{} objects, {} functions, {:?}", report.objects, report.functions, start.elapsed());
    for verdict in &report.verdicts {
        println!("{:?} {} {}: {}", verdict.verdict, verdict.object, verdict.symbol, verdict.reason);
    }
    for note in &report.notes {
        println!("note: {note}");
    }
    let Some(patch) = &report.patch else { return };
    for function in &patch.meta.functions {
        let (name, address, size) = (&function.name, function.address, function.size);
        println!(
            "function {name} at {address:#x} size {size:#x} detour {} room {}",
            function.detour, function.room
        );
    }
    for section in &patch.sections {
        println!("{:?} {} {:#x} align {}", section.kind, section.name, section.size, section.align);
        for reloc in &section.relocations {
            let symbol = &patch.symbols[reloc.symbol];
            let (kind, offset, addend) = (reloc.kind, reloc.offset, reloc.addend);
            println!("    {offset:#06x} {kind:?} {} {addend:+} {:x?}", symbol.name, symbol.place);
        }
    }
}
