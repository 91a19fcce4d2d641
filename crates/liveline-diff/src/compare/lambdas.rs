//! Closures of C++ whose number means another one in the new build.
//!
//! Compilers number the lambdas of a function in the order of the source. With one more in front, or with other captures, a
//! symbol of the old build means another closure in the new one. A closure that lives keeps its captures and must keep the
//! code that knows them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use liveline_elf::demangle;
use liveline_types::Types;

use crate::unit::Unit;

/// New pieces that belong to, or are made for, closures of functions that have not the closures they had.
pub(crate) fn renumbered(old: &Unit, new: &Unit) -> BTreeSet<usize> {
    let has = |unit: &Unit| unit.pieces.iter().any(|piece| piece.is_named() && names_closure(piece.label()));
    if !has(old) || !has(new) {
        return BTreeSet::new();
    }
    // Without debug information a patch is refused, or made on a person's word.
    let (Ok(before), Ok(after)) = (Types::read(&old.file), Types::read(&new.file)) else {
        return BTreeSet::new();
    };
    let moved = Moved::between(&before.closures(), &after.closures());
    let of_moved = |symbol: &str| {
        names_closure(symbol)
            && match demangle::name(symbol) {
                Cow::Owned(name) => moved.concerns(&name),
                // It may be any closure's.
                Cow::Borrowed(_) => moved.any(),
            }
    };
    let pieces = new.pieces.iter().enumerate();
    pieces.filter(|(_, piece)| piece.is_named() && of_moved(piece.label())).map(|(index, _)| index).collect()
}

/// `Ul…E_` in names that others may know, clang's `$_0` in those of one object.
fn names_closure(symbol: &str) -> bool {
    symbol.starts_with("_Z") && (symbol.contains("Ul") || symbol.contains("$_"))
}

/// Functions, as the source has them, whose closures are others now.
struct Moved {
    functions: Vec<String>,
    /// So are those that stand in no function.
    outside: bool,
}

impl Moved {
    fn between(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Self {
        let owners: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let moved = owners.into_iter().filter(|owner| before.get(*owner) != after.get(*owner));
        let (functions, outside): (Vec<&String>, Vec<&String>) = moved.partition(|owner| !owner.is_empty());
        let functions = functions.into_iter().map(|owner| demangle::name(owner).into_owned()).collect();
        Self { functions, outside: !outside.is_empty() }
    }

    fn any(&self) -> bool {
        self.outside || !self.functions.is_empty()
    }

    /// Whether a name has one of their closures in it.
    fn concerns(&self, name: &str) -> bool {
        closures(name).any(|at| {
            let owner = name[..at].trim_end_matches("::");
            let known = self.functions.iter().any(|function| {
                let start = owner.strip_suffix(function.as_str());
                start.is_some_and(|start| {
                    !start
                        .ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':')
                })
            });
            known || (self.outside && !owner.ends_with([')', '}']) && !owner.ends_with(" const"))
        })
    }
}

/// Where closures begin in the name of something, as the source has it.
fn closures(name: &str) -> impl Iterator<Item = usize> + '_ {
    ["{lambda", "$_"].into_iter().flat_map(|word| name.match_indices(word).map(|(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(before: &[(&str, &[&str])], after: &[(&str, &[&str])]) -> Moved {
        let map = |list: &[(&str, &[&str])]| {
            let own = |closures: &[&str]| closures.iter().map(|&closure| closure.to_owned()).collect();
            list.iter().map(|(owner, closures)| ((*owner).to_owned(), own(closures))).collect()
        };
        Moved::between(&map(before), &map(after))
    }

    #[test]
    fn a_function_with_one_more() {
        let moved = moved(
            &[("_Z4makei", &["a"]), ("_Z3oddv", &["c"])],
            &[("_Z4makei", &["b", "a"]), ("_Z3oddv", &["c"])],
        );
        assert!(moved.concerns("make(int)::{lambda(int)#1}::operator()(int) const"));
        assert!(
            moved.concerns("std::_Function_handler<int (int), make(int)::{lambda(int)#1}>::_M_invoke(int)")
        );
        assert!(moved.concerns("make(int)::$_0::operator()(int) const"));
        assert!(!moved.concerns("remake(int)::$_0::operator()(int) const"));
        assert!(!moved.concerns("odd()::{lambda(int)#1}::operator()(int) const"));
        assert!(!moved.concerns("table::{lambda(int)#1}::operator()(int) const"));
    }

    #[test]
    fn closures_outside_of_functions() {
        let moved = moved(&[("", &["a"])], &[("", &["b"])]);
        assert!(moved.concerns("table::{lambda(int)#1}::operator()(int) const"));
        assert!(moved.concerns("$_0::operator()(int) const"));
        assert!(!moved.concerns("make(int)::{lambda(int)#1}::operator()(int) const"));
    }
}
