//! What a module or a program was made of, and whether the two can live together.
//!
//! The attribute `#[module]` and the macro `serve!` write it while the crate is compiled:
//!
//! ```text
//! liveline 1
//! name greeter
//! build greeter-b116d602c82570ee-liveline7
//! rustc rustc 1.95.0 (59807616e 2026-04-14)
//! setting panic=abort
//! crate api 1b9cf8e1c2a0dd37 90aa3c1f6b0e4d55
//! ```
//!
//! A crate is a name, cargo's hash of how it is built, and a hash of its metadata file, which holds all its types.

use std::collections::{BTreeMap, BTreeSet};

/// The first line.
pub const HEAD: &str = "liveline 1";

/// The runtime's crate.
const RUNTIME: &str = "liveline_runtime";

/// Crates that keep what objects share in statics of their own, of which a module has another copy.
const APART: [(&str, &str); 2] = [
    ("parking_lot_core", "threads that wait for one of its locks are noted in a table of its own"),
    ("crossbeam_epoch", "threads that use its memory are noted in a table of its own"),
];

/// What a module or a program was made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// The crate's name.
    pub name: String,
    /// What tells its types from those of any other build: the name and each `-C metadata`.
    pub build: String,
    rustc: String,
    settings: BTreeSet<String>,
    crates: BTreeMap<String, BTreeSet<(String, String)>>,
}

impl Fingerprint {
    /// Reads it.
    ///
    /// # Errors
    /// The words say what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.trim_end_matches('\0').lines();
        match lines.next() {
            Some(HEAD) => {}
            Some(other) => {
                return Err(format!("it describes itself as '{other}', and this understands '{HEAD}'"));
            }
            None => return Err("it does not describe itself".to_owned()),
        }
        let mut made = Self::default();
        for line in lines {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "name" => rest.clone_into(&mut made.name),
                "build" => rest.clone_into(&mut made.build),
                "rustc" => rest.clone_into(&mut made.rustc),
                "setting" => drop(made.settings.insert(rest.to_owned())),
                "crate" => {
                    let mut words = rest.splitn(3, ' ').map(str::to_owned);
                    let (Some(name), Some(how), Some(hash)) = (words.next(), words.next(), words.next())
                    else {
                        return Err(format!("not understood: '{line}'"));
                    };
                    made.crates.entry(name).or_default().insert((how, hash));
                }
                _ => return Err(format!("not understood: '{line}'")),
            }
        }
        if made.name.is_empty() || made.build.is_empty() || !made.crates.contains_key(RUNTIME) {
            return Err("its description is not whole: what compiled it is not known to be cargo".to_owned());
        }
        Ok(made)
    }

    /// The compiler's name and version.
    pub fn rustc(&self) -> &str {
        &self.rustc
    }

    /// Compiler settings that are not the defaults.
    pub fn settings(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().map(String::as_str)
    }

    /// The names of the crates it is made of.
    pub fn crates(&self) -> impl Iterator<Item = &str> {
        self.crates.keys().map(String::as_str)
    }

    /// Why the module does not fit into this program; nothing if it does.
    pub fn misfits(&self, module: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.rustc != module.rustc {
            reasons.push(format!(
                "the program was compiled by {}, the module by {}: compile both by one",
                self.rustc, module.rustc
            ));
            // All else differs then.
            return reasons;
        }
        if self.settings != module.settings {
            let words = |settings: &BTreeSet<String>| -> String {
                let all: Vec<&str> = settings.iter().map(String::as_str).collect();
                if all.is_empty() { "the defaults".to_owned() } else { all.join(" ") }
            };
            reasons.push(format!(
                "the program was compiled with {}, the module with {}",
                words(&self.settings),
                words(&module.settings)
            ));
        }
        let common =
            || module.crates.iter().filter_map(|(name, wanted)| Some((name, wanted, self.crates.get(name)?)));
        let is_alike = |have: &BTreeSet<(String, String)>, wanted: &BTreeSet<(String, String)>| {
            wanted.iter().any(|(how, _)| have.iter().any(|(other, _)| other == how))
        };
        let count = common().count();
        if count > 1 && !common().any(|(_, wanted, have)| is_alike(have, wanted)) {
            reasons.push(format!(
                "none of the {count} crates that both are made of was built as the program's: another profile?"
            ));
            return reasons;
        }
        for (name, wanted, have) in common() {
            for (how, hash) in wanted.difference(have) {
                reasons.push(match have.iter().find(|(other, _)| other == how) {
                    Some(_) if hash.is_empty() => format!("crate {name} was not found when it was compiled"),
                    Some(_) => format!(
                        "crate {name} is not what the program was built with: it has changed since, or was built in another folder"
                    ),
                    None => format!(
                        "crate {name} was built in another way than the program's: another profile, features or version"
                    ),
                });
            }
        }
        for (name, why) in APART {
            if module.crates.contains_key(name) && self.crates.contains_key(name) {
                reasons.push(format!("both use crate {name}, and a module has a copy of its own: {why}"));
            }
        }
        if self.crates.contains_key(&module.name) && !module.has_build_of_its_own() {
            reasons.push(format!(
                "crate {} is part of the program, and its types would be taken for those: build the module with a name of its own, by cargo rustc -- -C metadata=NAME",
                module.name
            ));
        }
        reasons
    }

    /// Crates that are not what a module was made of that was loaded before, though both were built in one way: the types of
    /// one would be taken for those of the other.
    pub fn clashes<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a str> {
        let common = self.crates.iter().filter_map(|(name, own)| Some((name, own, before.crates.get(name)?)));
        let changed = common.filter(|(_, own, others)| {
            own.iter().any(|(how, hash)| others.iter().any(|(other, was)| how == other && hash != was))
        });
        changed.map(|(name, _, _)| name.as_str())
    }

    /// Whether its types have other names than those of cargo's ordinary build.
    fn has_build_of_its_own(&self) -> bool {
        self.build.matches('+').count() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "liveline 1\nname server\nbuild server+1\nrustc rustc 1.95.0\n\
                           crate liveline_runtime aa 01\ncrate api bb 02\ncrate two cc 03\ncrate two dd 04\n";

    fn misfits(module: &str) -> Vec<String> {
        let program = Fingerprint::parse(PROGRAM).unwrap();
        program.misfits(&Fingerprint::parse(module).unwrap())
    }

    fn module(more: &str) -> String {
        format!("liveline 1\nname m\nbuild m+2\nrustc rustc 1.95.0\ncrate liveline_runtime aa 01\n{more}")
    }

    #[test]
    fn what_is_made_of_the_same_fits() {
        assert!(misfits(&module("crate api bb 02\ncrate two dd 04\ncrate more ee 05\n")).is_empty());
    }

    #[test]
    fn what_differs_is_told() {
        for (more, part) in [
            ("crate api bb 03\n", "crate api is not what the program was built with"),
            ("crate api b0 02\n", "crate api was built in another way"),
            (
                "setting panic=abort\n",
                "the program was compiled with the defaults, the module with panic=abort",
            ),
        ] {
            let reasons = misfits(&module(more));
            assert!(reasons.len() == 1 && reasons[0].contains(part), "{reasons:?}");
        }
        let other = misfits(&module("").replace("1.95", "1.94"));
        assert!(
            other.len() == 1 && other[0].contains("by rustc 1.95.0, the module by rustc 1.94.0"),
            "{other:?}"
        );
    }

    #[test]
    fn what_only_modules_are_made_of_is_compared_between_them() {
        let made = |crates: &str| Fingerprint::parse(&module(crates)).unwrap();
        let before = made("crate api bb 02\ncrate own ee 05\n");
        let clashes = |crates: &str| made(crates).clashes(&before).map(str::to_owned).collect::<Vec<_>>();
        assert!(clashes("crate own ee 05\ncrate more ff 06\n").is_empty());
        // Another version, or other features: its types are others.
        assert!(clashes("crate own e0 07\n").is_empty());
        assert_eq!(clashes("crate own ee 06\n"), ["own"]);
    }

    #[test]
    fn another_profile_is_told_once() {
        let text = module("crate api b0 02\n").replace("liveline_runtime aa", "liveline_runtime a0");
        assert_eq!(
            misfits(&text),
            ["none of the 2 crates that both are made of was built as the program's: another profile?"]
        );
    }

    #[test]
    fn a_crate_of_the_program_needs_a_build_of_its_own() {
        let text = module("").replace("name m\nbuild m+2", "name api\nbuild api+2");
        assert!(misfits(&text)[0].contains("cargo rustc -- -C metadata=NAME"), "{:?}", misfits(&text));
        assert!(misfits(&text.replace("api+2", "api+2+liveline1")).is_empty());
    }

    #[test]
    fn crates_that_are_not_shared_well_are_refused() {
        let program = Fingerprint::parse(&format!("{PROGRAM}crate parking_lot_core 1 1\n")).unwrap();
        let module = Fingerprint::parse(&module("crate parking_lot_core 1 1\n")).unwrap();
        assert!(program.misfits(&module)[0].starts_with("both use crate parking_lot_core"));
    }

    #[test]
    fn half_a_description_is_none() {
        for text in
            ["", "liveline 2\n", "liveline 1\nname m\n", "liveline 1\nwhat\n", "liveline 1\ncrate a\n"]
        {
            assert!(Fingerprint::parse(text).is_err(), "{text:?}");
        }
    }
}
