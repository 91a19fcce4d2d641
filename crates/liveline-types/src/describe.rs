//! Types in words, as they are written in the source.

use gimli::constants as dw;

use crate::entry::NONE;
use crate::types::{TypeId, Types};

/// Depth to which a type is written out.
const DEPTH: usize = 8;

impl Types {
    /// A type as a person would write it, without qualifiers.
    pub(crate) fn describe(&self, target: u32) -> String {
        self.spell(target, "", DEPTH)
    }

    /// The declaration of a member.
    pub(crate) fn declare(&self, target: u32, name: &str) -> String {
        self.spell(target, name, DEPTH)
    }

    /// The word for what a type is.
    pub(crate) fn keyword(&self, number: u32) -> &'static str {
        match self.entry(number).tag {
            dw::DW_TAG_union_type => "union",
            dw::DW_TAG_enumeration_type => "enum",
            dw::DW_TAG_class_type => "class",
            _ => "struct",
        }
    }

    /// A type that has a definition, as it is called.
    pub(crate) fn title(&self, number: u32) -> String {
        let Some(name) = self.qualified(TypeId(number)) else {
            return format!("{} {{…}}", self.keyword(number));
        };
        // A name that a typedef gave stands alone.
        if self.is_c(TypeId(number)) && !self.name(number).is_empty() {
            format!("{} {name}", self.keyword(number))
        } else {
            name
        }
    }

    /// A type as a person calls it when it is told what it is: with its keyword in C and C++.
    pub(crate) fn heading(&self, number: u32) -> String {
        let title = self.title(number);
        let named = self.qualified(TypeId(number)).is_some();
        if named && self.is_cpp(TypeId(number)) { format!("{} {title}", self.keyword(number)) } else { title }
    }

    /// A type with `inner`, the name or the pointer signs, where they belong.
    fn spell(&self, target: u32, inner: &str, depth: usize) -> String {
        let beside = |base: &str| match inner.is_empty() {
            true => base.to_owned(),
            false => format!("{base} {inner}"),
        };
        if target == NONE {
            return beside("void");
        }
        if depth == 0 {
            return beside("…");
        }
        let entry = self.entry(target);
        match entry.tag {
            dw::DW_TAG_typedef | dw::DW_TAG_template_alias => beside(self.name(target)),
            _ if entry.is_wrapper() => self.spell(entry.target, inner, depth - 1),
            _ if entry.is_defined() => beside(&self.title(target)),
            dw::DW_TAG_pointer_type if !self.name(target).is_empty() => beside(self.name(target)),
            dw::DW_TAG_pointer_type | dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type => {
                let sign = match entry.tag {
                    dw::DW_TAG_pointer_type => "*",
                    dw::DW_TAG_reference_type => "&",
                    _ => "&&",
                };
                let inner = format!("{sign}{inner}");
                let bracket = self.strip(entry.target).is_some_and(|number| {
                    let tag = self.entry(number).tag;
                    let named = self.entry(entry.target).tag == dw::DW_TAG_typedef;
                    !named && matches!(tag, dw::DW_TAG_array_type | dw::DW_TAG_subroutine_type)
                });
                let inner = if bracket { format!("({inner})") } else { inner };
                self.spell(entry.target, &inner, depth - 1)
            }
            dw::DW_TAG_ptr_to_member_type => {
                let class = self.spell(entry.containing, "", depth - 1);
                self.spell(entry.target, &format!("{class}::*{inner}"), depth - 1)
            }
            dw::DW_TAG_array_type => {
                let lengths = self.dimensions(target).into_iter();
                let lengths: String = lengths
                    .map(|length| length.map_or("[]".to_owned(), |length| format!("[{length}]")))
                    .collect();
                self.spell(entry.target, &format!("{inner}{lengths}"), depth - 1)
            }
            dw::DW_TAG_subroutine_type => self.spell_function(target, inner, depth),
            _ => match self.name(target) {
                "" => beside("?"),
                name => beside(name),
            },
        }
    }

    fn spell_function(&self, function: u32, inner: &str, depth: usize) -> String {
        let (parameters, more) = self.parameters(function);
        let mut list: Vec<String> =
            parameters.iter().map(|parameter| self.spell(*parameter, "", depth - 1)).collect();
        if more {
            list.push("...".to_owned());
        }
        if list.is_empty() {
            list.push("void".to_owned());
        }
        self.spell(self.returned(function), &format!("{inner}({})", list.join(", ")), depth - 1)
    }

    /// A method as its class declares it: `Shape::area(int) const`.
    pub(crate) fn method(&self, method: u32) -> String {
        let name = self.qualified(TypeId(method)).unwrap_or_default();
        let (parameters, more) = self.parameters(method);
        let own: Vec<bool> = self
            .children(self.root(method))
            .filter(|(_, entry)| entry.tag == dw::DW_TAG_formal_parameter)
            .map(|(_, entry)| entry.artificial)
            .collect();
        let hidden = own.iter().take_while(|hidden| **hidden).count();
        let mut list: Vec<String> =
            parameters.iter().skip(hidden).map(|parameter| self.describe(*parameter)).collect();
        if more {
            list.push("...".to_owned());
        }
        let object = parameters.first().filter(|_| hidden > 0).and_then(|this| self.strip(*this));
        let constant = object.is_some_and(|this| {
            let target = self.entry(this).target;
            target != NONE && self.entry(target).tag == dw::DW_TAG_const_type
        });
        format!("{name}({}){}", list.join(", "), if constant { " const" } else { "" })
    }

    /// The head of a function: what it returns, its name, its parameters.
    pub(crate) fn head(&self, function: u32) -> String {
        let root = self.root(function);
        self.spell_function(function, self.name(root), DEPTH)
    }
}
