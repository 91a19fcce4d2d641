//! The closures of C++ functions, and what they capture.

use std::collections::BTreeMap;

use gimli::constants as dw;

use crate::entry::NONE;
use crate::types::{TypeId, Types};

impl Types {
    /// For each function (by its symbol) with closures in it: what each of them takes and captures, in the order of the
    /// source. Those that stand in no function are found under an empty name.
    pub fn closures(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<(u32, u32, String)>> = BTreeMap::new();
        for number in 0..self.entries.len() as u32 {
            if self.is_closure(number) {
                let line = self.entry(number).line;
                found.entry(self.owner(number)).or_default().push((line, number, self.captures(number)));
            }
        }
        let in_order = |mut list: Vec<(u32, u32, String)>| {
            list.sort_unstable();
            list.into_iter().map(|(_, _, closure)| closure).collect()
        };
        found.into_iter().map(|(owner, list)| (owner, in_order(list))).collect()
    }

    /// gcc calls it `<lambda(int)>`, clang gives it no name.
    fn is_closure(&self, number: u32) -> bool {
        let entry = self.entry(number);
        let name = self.name(number);
        entry.is_aggregate()
            && !entry.declaration
            && self.is_cpp(TypeId(number))
            && (name.starts_with("<lambda") || (name.is_empty() && self.call_operator(number).is_some()))
    }

    fn call_operator(&self, class: u32) -> Option<u32> {
        let mut functions = self.children(class).filter(|(_, entry)| entry.tag == dw::DW_TAG_subprogram);
        functions.find(|(method, _)| self.name(*method) == "operator()").map(|(method, _)| method)
    }

    /// The symbol of the function that an entry stands in.
    fn owner(&self, number: u32) -> String {
        let mut at = number;
        for _ in 0..64 {
            let Some(parent) = self.entries.get(at as usize).map(|entry| entry.parent) else { break };
            if parent == NONE {
                break;
            }
            at = self.root(parent);
            let Some(scope) = self.entries.get(at as usize) else { break };
            if scope.tag != dw::DW_TAG_subprogram {
                continue;
            }
            let linkage = self.text(scope.linkage);
            // The code of a closure that another one stands in may have no symbol of its own.
            if !linkage.is_empty() {
                return linkage.to_owned();
            }
            if self.name(at) != "operator()" {
                return self.name(at).to_owned();
            }
        }
        String::new()
    }

    fn captures(&self, closure: u32) -> String {
        let call = self.call_operator(closure).map(|method| {
            let (parameters, _) = self.parameters(method);
            // The first is the closure itself, which has no name.
            parameters
                .iter()
                .skip(1)
                .map(|parameter| self.describe(*parameter))
                .collect::<Vec<_>>()
                .join(", ")
        });
        let fields = self.fields(closure).into_iter().map(|field| {
            let place = field.at.map_or_else(String::new, |bits| bits.to_string());
            format!("{place} {}", self.declare(field.target, &field.name))
        });
        let fields = fields.collect::<Vec<_>>().join("; ");
        format!("({}) {:?} {{{fields}}}", call.unwrap_or_default(), self.entry(closure).size)
    }
}
