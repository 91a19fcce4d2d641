//! Which types code can get at.

use gimli::constants as dw;

use crate::entry::NONE;
use crate::types::{TypeId, Types};

/// Where code gets types from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// A function of which all is code in question: its parameters, what it returns, its locals, what is inlined.
    Body(TypeId),
    /// A function that is called: what it returns.
    Called(TypeId),
    /// A variable.
    Variable(TypeId),
}

/// The types with a name that code can get at.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Defined in this object.
    pub defined: Vec<TypeId>,
    /// Only declared in this object.
    pub declared: Vec<TypeId>,
}

impl Types {
    /// The types that can be got at, through members and pointers, from these roots.
    pub fn reach(&self, roots: &[Root]) -> Reach {
        let mut walk = Walk { types: self, seen: vec![false; self.entries.len()], open: Vec::new() };
        let mut out = Reach::default();
        for root in roots {
            match *root {
                Root::Body(id) => walk.open.push(id.0),
                Root::Called(id) => walk.open.push(self.returned(id.0)),
                Root::Variable(id) => walk.open.push(self.entry(self.root(id.0)).target),
            }
        }
        while let Some(number) = walk.open.pop() {
            if number != NONE && !std::mem::replace(&mut walk.seen[number as usize], true) {
                walk.visit(number, &mut out);
            }
        }
        out.defined.sort_unstable();
        out
    }
}

struct Walk<'t> {
    types: &'t Types,
    seen: Vec<bool>,
    open: Vec<u32>,
}

impl Walk<'_> {
    fn visit(&mut self, number: u32, out: &mut Reach) {
        let types = self.types;
        let entry = types.entry(number);
        match entry.tag {
            dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine => {
                for inner in &types.entries[number as usize..entry.end as usize] {
                    self.open.extend([inner.target, inner.origin]);
                }
            }
            // What a function takes must come from elsewhere; what it returns may come from nowhere else.
            dw::DW_TAG_subroutine_type => self.open.push(entry.target),
            _ if entry.is_defined() => self.visit_defined(number, out),
            _ => self.open.extend([entry.target, entry.origin, entry.containing]),
        }
    }

    fn visit_defined(&mut self, number: u32, out: &mut Reach) {
        let types = self.types;
        if types.entry(number).declaration {
            match types.definition(TypeId(number)) {
                Some(found) => self.open.push(found.0),
                None => out.declared.push(TypeId(number)),
            }
            return;
        }
        if types.qualified(TypeId(number)).is_some() {
            out.defined.push(TypeId(number));
        }
        self.open.extend(types.fields(number).iter().map(|field| field.target));
        // Containers may keep what they hold behind a pointer to bytes, as Rust's Vec does.
        let arguments =
            types.children(number).filter(|(_, entry)| entry.tag == dw::DW_TAG_template_type_parameter);
        self.open.extend(arguments.map(|(_, entry)| entry.target));
        self.open.extend(types.slots(number).iter().map(|slot| types.returned(slot.method)));
    }
}
