//! What a type is made of: members and bases, variants, enumerators, slots of the vtable, parameters.

use gimli::constants as dw;

use crate::entry::NONE;
use crate::types::Types;

/// A part of a structure, class or union.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Name; empty for a member without one. For a base, the base's name.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Offset in bits; none where the vtable tells it.
    pub(crate) at: Option<u64>,
    /// Width of a bit-field.
    pub(crate) bits: Option<u64>,
    /// Its type.
    pub(crate) target: u32,
}

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Member,
    Base,
    /// A virtual base, and where the vtable has its offset.
    VirtualBase(Option<u64>),
    /// What tells the variants of a Rust enum apart.
    Discriminant,
    /// A variant of a Rust enum and the discriminant that means it; none for all others.
    Variant(Option<i128>),
}

/// A slot of a class's vtable.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) method: u32,
}

impl Types {
    /// The parts of a structure, class or union, in the order they are declared.
    pub(crate) fn fields(&self, aggregate: u32) -> Vec<Field> {
        let mut out = Vec::new();
        for (number, entry) in self.children(aggregate) {
            match entry.tag {
                // A static member is a variable.
                dw::DW_TAG_member if !entry.external && !entry.declaration => {
                    out.push(self.member(number));
                }
                dw::DW_TAG_inheritance => {
                    let role = match entry.virtual_ {
                        true => Role::VirtualBase(entry.slot),
                        false => Role::Base,
                    };
                    let at = entry.offset.filter(|_| !entry.virtual_).map(|offset| offset.saturating_mul(8));
                    let name = self.describe(entry.target);
                    out.push(Field { name, role, at, bits: None, target: entry.target });
                }
                dw::DW_TAG_variant_part => self.variants(number, &mut out),
                _ => {}
            }
        }
        out
    }

    fn member(&self, number: u32) -> Field {
        let entry = self.entry(number);
        let at = match (entry.data_bit_offset, entry.bit_size, entry.bit_offset) {
            (Some(at), _, _) => at.saturating_add(entry.offset.unwrap_or(0).saturating_mul(8)),
            // DWARF 3 counts from the high end of the storage unit.
            (None, Some(bits), Some(from_end)) => {
                let unit = entry.size.or_else(|| self.size(entry.target)).unwrap_or(0).saturating_mul(8);
                let start = i128::from(unit) - i128::from(from_end) - i128::from(bits);
                let start = i128::from(entry.offset.unwrap_or(0)) * 8 + start;
                u64::try_from(start).unwrap_or(0)
            }
            _ => entry.offset.unwrap_or(0).saturating_mul(8),
        };
        Field {
            name: self.name(number).to_owned(),
            role: Role::Member,
            at: Some(at),
            bits: entry.bit_size,
            target: entry.target,
        }
    }

    fn variants(&self, part: u32, out: &mut Vec<Field>) {
        let discriminant = self.entry(part).containing;
        for (number, entry) in self.children(part) {
            match entry.tag {
                dw::DW_TAG_member if number == discriminant => {
                    let name = "{discriminant}".to_owned();
                    out.push(Field { name, role: Role::Discriminant, ..self.member(number) });
                }
                dw::DW_TAG_variant => {
                    for (member, inner) in self.children(number) {
                        if inner.tag == dw::DW_TAG_member {
                            out.push(Field { role: Role::Variant(entry.value), ..self.member(member) });
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Names and values of an enumeration.
    pub(crate) fn enumerators(&self, enumeration: u32) -> Vec<(String, i128)> {
        let entries = self.children(enumeration).filter(|(_, entry)| entry.tag == dw::DW_TAG_enumerator);
        entries.map(|(number, entry)| (self.name(number).to_owned(), entry.value.unwrap_or(0))).collect()
    }

    /// The slots of the vtable that a class itself declares, by number.
    pub(crate) fn slots(&self, class: u32) -> Vec<Slot> {
        let mut out: Vec<Slot> = self
            .children(class)
            .filter(|(_, entry)| entry.tag == dw::DW_TAG_subprogram && entry.virtual_)
            .filter_map(|(method, entry)| {
                let name = self.name(method).to_owned();
                entry.slot.map(|number| Slot { number, name, method })
            })
            .collect();
        out.sort_by_key(|slot| slot.number);
        out
    }

    /// Whether a base of a class, however far up, declares a slot.
    pub(crate) fn inherits_slot(&self, class: u32, number: u64) -> bool {
        let mut open = vec![class];
        let mut seen = Vec::new();
        while let Some(class) = open.pop() {
            if seen.contains(&class) {
                continue;
            }
            seen.push(class);
            for (_, entry) in self.children(class) {
                if entry.tag != dw::DW_TAG_inheritance {
                    continue;
                }
                let Some(base) = self.strip(entry.target) else { continue };
                if self.slots(base).iter().any(|slot| slot.number == number) {
                    return true;
                }
                open.push(base);
            }
        }
        false
    }

    /// The types of the parameters of a function or function type, and whether more may follow.
    pub(crate) fn parameters(&self, function: u32) -> (Vec<u32>, bool) {
        let mut out = Vec::new();
        let mut more = false;
        for (number, entry) in self.children(self.root(function)) {
            match entry.tag {
                dw::DW_TAG_formal_parameter => out.push(self.entry(self.root(number)).target),
                dw::DW_TAG_unspecified_parameters => more = true,
                _ => {}
            }
        }
        (out, more)
    }

    /// What a function or function type returns.
    pub(crate) fn returned(&self, function: u32) -> u32 {
        let own = self.entry(function).target;
        if own == NONE { self.entry(self.root(function)).target } else { own }
    }

    /// Lengths of the dimensions of an array; none where it is open.
    pub(crate) fn dimensions(&self, array: u32) -> Vec<Option<u64>> {
        let ranges = self.children(array).filter(|(_, entry)| entry.tag == dw::DW_TAG_subrange_type);
        ranges.map(|(_, entry)| entry.count.filter(|&count| count != 0)).collect()
    }

    /// Bytes of a type, where they are known.
    pub(crate) fn size(&self, target: u32) -> Option<u64> {
        let mut number = self.strip(target)?;
        let mut elements = 1u64;
        // Arrays of arrays; an array of itself is damage.
        for _ in 0..64 {
            let entry = self.entry(number);
            if entry.tag != dw::DW_TAG_array_type || entry.size.is_some() {
                let own = if entry.is_pointer() { entry.size.or(Some(8)) } else { entry.size };
                return own?.checked_mul(elements);
            }
            for length in self.dimensions(number) {
                elements = elements.checked_mul(length.unwrap_or(0))?;
            }
            number = self.strip(entry.target)?;
        }
        None
    }
}
