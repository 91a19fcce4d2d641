//! The types of one object, as a graph.

use std::collections::HashMap;

use gimli::constants as dw;
use object::read::Object;

use crate::entry::{Entry, NONE, Text};
use crate::read::{Unit, read};
use crate::sections::{Place, Sections, TypesError};

/// A type, function or variable of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub(crate) u32);

/// What the debug information of one object says.
#[derive(Debug)]
pub struct Types {
    text: Vec<Vec<u8>>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) units: Vec<Unit>,
    /// Names that typedefs give to types without one.
    alias: HashMap<u32, u32>,
    /// Definitions by qualified name.
    defined: HashMap<String, Vec<TypeId>>,
    /// Functions with code, by where it starts, and variables, by where they lie.
    places: Vec<(Place, u32)>,
    /// Functions and variables by the name of their symbol.
    named: HashMap<String, Vec<u32>>,
    /// Another object's.
    apart: bool,
}

impl Types {
    /// Reads the debug information of an object that stands for another one of the same sources: things have the same
    /// names there, and lie elsewhere.
    pub fn read_apart<'d>(file: &impl Object<'d>) -> Result<Self, TypesError> {
        let mut types = Self::read(file)?;
        types.places.clear();
        types.apart = true;
        Ok(types)
    }

    /// Whether it tells no type at all: there are functions and lines only, or nothing.
    pub fn is_bare(&self) -> bool {
        !self.entries.iter().any(|entry| entry.is_defined() || entry.tag == dw::DW_TAG_base_type)
    }

    /// Whether it was read by [`Self::read_apart`].
    pub fn is_apart(&self) -> bool {
        self.apart
    }

    /// Reads the debug information of a relocatable object.
    pub fn read<'d>(file: &impl Object<'d>) -> Result<Self, TypesError> {
        let sections = Sections::read(file)?;
        let (entries, units) = read(&sections)?;
        let mut types = Self {
            text: sections.into_text(),
            entries,
            units,
            alias: HashMap::new(),
            defined: HashMap::new(),
            places: Vec::new(),
            named: HashMap::new(),
            apart: false,
        };
        types.index();
        Ok(types)
    }

    fn index(&mut self) {
        for number in 0..self.entries.len() as u32 {
            let entry = *self.entry(number);
            if entry.tag == dw::DW_TAG_typedef
                && entry.target != NONE
                && self.entry(entry.target).is_defined()
                && self.name(entry.target).is_empty()
            {
                self.alias.entry(entry.target).or_insert(number);
            }
            if matches!(entry.tag, dw::DW_TAG_subprogram | dw::DW_TAG_variable) {
                if let Some(place) = entry.place {
                    self.places.push((Place::from_address(place), number));
                }
                let global = self.parent(number).is_none_or(|parent| {
                    matches!(parent.tag, dw::DW_TAG_compile_unit | dw::DW_TAG_namespace)
                });
                let linkage = self.text(entry.linkage);
                let name = if linkage.is_empty() { self.name(number) } else { linkage };
                if (global || !linkage.is_empty()) && !name.is_empty() {
                    self.named.entry(name.to_owned()).or_default().push(number);
                }
            }
        }
        self.places.sort_unstable();
        for number in 0..self.entries.len() as u32 {
            let entry = self.entry(number);
            if entry.is_defined()
                && !entry.declaration
                && let Some(name) = self.qualified(TypeId(number))
            {
                self.defined.entry(name).or_default().push(TypeId(number));
            }
        }
    }

    pub(crate) fn entry(&self, number: u32) -> &Entry {
        &self.entries[number as usize]
    }

    fn parent(&self, number: u32) -> Option<&Entry> {
        self.entries.get(self.entry(number).parent as usize)
    }

    pub(crate) fn text(&self, text: Text) -> &str {
        let section = self.text.get(usize::from(text.section)).map_or(&[][..], Vec::as_slice);
        let start = text.start as usize;
        let bytes = section.get(start..start + text.length as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The name an entry has itself.
    pub(crate) fn name(&self, number: u32) -> &str {
        self.text(self.entry(number).name)
    }

    /// The entry that says most about an instance: what it is an instance or the definition of.
    pub(crate) fn root(&self, mut number: u32) -> u32 {
        for _ in 0..8 {
            let origin = self.entry(number).origin;
            if origin == NONE {
                break;
            }
            number = origin;
        }
        number
    }

    /// The entries directly below one.
    pub(crate) fn children(&self, number: u32) -> impl Iterator<Item = (u32, &Entry)> {
        let end = self.entry(number).end;
        let mut next = number + 1;
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let number = next;
            let entry = self.entry(number);
            next = entry.end;
            Some((number, entry))
        })
    }

    /// The type behind names and qualifiers, and behind a declaration the definition where this object has it.
    /// Nothing for `void`.
    pub(crate) fn strip(&self, mut number: u32) -> Option<u32> {
        for _ in 0..64 {
            if number == NONE {
                return None;
            }
            let entry = self.entry(number);
            if !entry.is_wrapper() {
                break;
            }
            number = entry.target;
        }
        let entry = self.entries.get(number as usize)?;
        if entry.is_defined() && entry.declaration {
            return Some(self.definition(TypeId(number)).map_or(number, |found| found.0));
        }
        Some(number)
    }

    /// The definition in this object of a type that is only declared.
    pub(crate) fn definition(&self, declared: TypeId) -> Option<TypeId> {
        let name = self.qualified(declared)?;
        let found = self.defined.get(&name)?;
        let own = |id: &&TypeId| self.entry(id.0).is_aggregate() == self.entry(declared.0).is_aggregate();
        found.iter().find(own).copied()
    }

    /// Definitions of a qualified name.
    pub fn defined(&self, name: &str) -> &[TypeId] {
        self.defined.get(name).map_or(&[], Vec::as_slice)
    }

    /// All definitions that have a name.
    pub fn all_defined(&self) -> impl Iterator<Item = TypeId> {
        self.defined.values().flatten().copied()
    }

    /// Whether a type is declared and not defined here.
    pub fn is_declaration(&self, id: TypeId) -> bool {
        self.entry(id.0).declaration
    }

    /// The name of a type with the scopes it is declared in; none for one without a name.
    pub fn qualified(&self, id: TypeId) -> Option<String> {
        let own = match self.name(id.0) {
            "" => self.name(*self.alias.get(&id.0)?),
            name => name,
        };
        let mut parts = vec![own];
        let mut at = self.root(id.0);
        for _ in 0..64 {
            at = self.entry(at).parent;
            let Some(scope) = self.entries.get(at as usize) else { break };
            match scope.tag {
                dw::DW_TAG_namespace => match self.name(at) {
                    "" => parts.push("(anonymous namespace)"),
                    name => parts.push(name),
                },
                dw::DW_TAG_structure_type
                | dw::DW_TAG_class_type
                | dw::DW_TAG_union_type
                | dw::DW_TAG_enumeration_type
                | dw::DW_TAG_subprogram => {
                    at = self.root(at);
                    let name = self.name(at);
                    if !name.is_empty() {
                        parts.push(name);
                    }
                }
                _ => {}
            }
        }
        parts.reverse();
        Some(parts.join("::"))
    }

    /// Source file and line of a type, function or variable.
    pub fn source(&self, id: TypeId) -> Option<(&str, u32)> {
        let entry = match self.alias.get(&id.0) {
            Some(&alias) if self.entry(id.0).line == 0 => self.entry(alias),
            _ => self.entry(id.0),
        };
        let files = &self.units.get(entry.unit as usize)?.files;
        let file = self.text(*files.get(entry.file as usize)?);
        (!file.is_empty() && entry.line != 0).then_some((file, entry.line))
    }

    /// Whether the type was written in C.
    pub fn is_c(&self, id: TypeId) -> bool {
        self.units.get(self.entry(id.0).unit as usize).is_some_and(|unit| unit.is_c)
    }

    /// Whether the type was written in C++.
    pub fn is_cpp(&self, id: TypeId) -> bool {
        self.units.get(self.entry(id.0).unit as usize).is_some_and(|unit| unit.is_cpp)
    }

    /// The functions and variables that begin at a range of places.
    pub fn at(&self, start: Place, size: u64) -> impl Iterator<Item = TypeId> {
        let from = self.places.partition_point(|(place, _)| *place < start);
        let end = start.offset().saturating_add(size.max(1));
        let inside = move |place: Place| place.section() == start.section() && place.offset() < end;
        self.places[from..].iter().take_while(move |(place, _)| inside(*place)).map(|(_, id)| TypeId(*id))
    }

    /// Functions and variables whose symbol has this name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = TypeId> {
        self.named.get(name).into_iter().flatten().map(|&number| TypeId(number))
    }

    /// All functions, by the name of their symbol.
    pub fn functions(&self) -> impl Iterator<Item = (&str, TypeId)> {
        let found =
            self.named.iter().flat_map(|(name, all)| all.iter().map(move |id| (&**name, TypeId(*id))));
        found.filter(|(_, id)| self.is_function(*id))
    }

    /// Whether it is a function.
    pub fn is_function(&self, id: TypeId) -> bool {
        self.entry(id.0).tag == dw::DW_TAG_subprogram
    }
}
