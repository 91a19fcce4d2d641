//! Whether types of two builds are laid out alike.

use std::collections::{BTreeMap, HashMap};

use gimli::constants as dw;

use crate::change::{Change, Kind, Mark, Row, Unit};
use crate::entry::NONE;
use crate::fields::{Field, Role};
use crate::matching::{Match, matching};
use crate::types::{TypeId, Types};

/// Types within types that are followed.
const DEEPEST: usize = 500;

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Laid out alike.
    Same,
    /// Something is new that no object of the old layout holds: an enumerator, a variant, an overridden method.
    Compatible(Change),
    /// Laid out in another way.
    Changed(Change),
}

/// Compares types of two objects.
#[derive(Debug)]
pub struct Compare<'t> {
    old: &'t Types,
    new: &'t Types,
    /// Pairs that were compared, or are being compared and taken for the same meanwhile.
    known: HashMap<(u32, u32), bool>,
    /// Pairs taken for the same since the outermost comparison began.
    assumed: Vec<(u32, u32)>,
}

impl<'t> Compare<'t> {
    /// Compares the types of `old` to those of `new`.
    pub fn new(old: &'t Types, new: &'t Types) -> Self {
        Self { old, new, known: HashMap::new(), assumed: Vec::new() }
    }

    /// Compares two definitions.
    pub fn defined(&mut self, old: TypeId, new: TypeId) -> Outcome {
        let rows = self.rows(old.0, new.0);
        let (before, after) = (self.old.entry(old.0), self.new.entry(new.0));
        let resized = before.size != after.size;
        let stricter = after.alignment.unwrap_or(0) > before.alignment.unwrap_or(0);
        let other = kind(self.old, old.0) != kind(self.new, new.0);
        if !resized && !stricter && !other && rows.iter().all(|row| row.mark == Mark::Same) {
            return Outcome::Same;
        }
        let matters = resized || stricter || other || rows.iter().any(|row| row.mark.matters());
        let reason = match rows.iter().find(|row| row.mark.matters()) {
            _ if other => {
                format!("it was a {} and is a {}", self.old.keyword(old.0), self.new.keyword(new.0))
            }
            Some(row) => self.reason(new, row),
            None if resized => {
                format!("it had {} bytes and has {}", before.size.unwrap_or(0), after.size.unwrap_or(0))
            }
            None if stricter => format!(
                "it was aligned to {} bytes and is to {}",
                before.alignment.unwrap_or(1),
                after.alignment.unwrap_or(1)
            ),
            None => rows
                .iter()
                .find(|row| row.mark == Mark::Compatible)
                .map_or(String::new(), |row| self.reason(new, row)),
        };
        let change = Change {
            name: self.new.qualified(new).unwrap_or_default(),
            kind: change_kind(self.new, new.0),
            title: self.new.title(new.0),
            heading: self.new.heading(new.0),
            source: self.source(new),
            before: before.size,
            after: after.size,
            reason,
            rows,
        };
        if matters { Outcome::Changed(change) } else { Outcome::Compatible(change) }
    }

    /// Compares what two functions take and return.
    pub fn signature(&mut self, old: TypeId, new: TypeId) -> Outcome {
        let ((before, more_before), (after, more_after)) =
            (self.old.parameters(old.0), self.new.parameters(new.0));
        let alike = more_before == more_after
            && before.len() == after.len()
            && before.iter().zip(&after).all(|(&a, &b)| self.same(a, b));
        // Who knew nothing of a result goes on ignoring it.
        let (returned, returns) = (self.old.returned(old.0), self.new.returned(new.0));
        if alike && (self.old.strip(returned).is_none() || self.same(returned, returns)) {
            return Outcome::Same;
        }
        let (was, is) = (self.old.head(old.0), self.new.head(new.0));
        let name = self.new.name(self.new.root(new.0)).to_owned();
        Outcome::Changed(self.heads(name, Kind::Function, new, was, is))
    }

    /// Compares the types of two variables.
    pub fn variable(&mut self, old: TypeId, new: TypeId) -> Outcome {
        let before = self.old.entry(self.old.root(old.0)).target;
        let after = self.new.entry(self.new.root(new.0)).target;
        if self.same_element(before, after) {
            return Outcome::Same;
        }
        let name = self.new.name(self.new.root(new.0)).to_owned();
        let (was, is) = (self.old.describe(before), self.new.describe(after));
        let mut change = self.heads(name, Kind::Variable, new, was, is);
        (change.before, change.after) = (self.old.size(before), self.new.size(after));
        Outcome::Changed(change)
    }

    /// What became of a part of `new`, in words.
    fn reason(&self, new: TypeId, row: &Row) -> String {
        if row.unit != Unit::Slot {
            return reason(row);
        }
        let (heading, text) = (self.new.heading(new.0), &row.text);
        let slot = |number: Option<i128>| number.map_or_else(String::new, |number| format!("slot {number}"));
        let vtable = "of its vtable";
        match (row.mark, &row.was) {
            (Mark::Compatible, _) if row.after.is_none() => format!(
                "{text} is gone from {} {vtable}: objects made before the update go on with it",
                slot(row.before)
            ),
            (Mark::Compatible, _) => format!(
                "{text} is new at {} {vtable}: objects made before the update go on without it",
                slot(row.after)
            ),
            (Mark::Added, _) => format!("{heading}: {} {vtable} is new, {text}", slot(row.after)),
            (Mark::Removed, _) => format!("{heading}: {} {vtable}, {text}, is gone", slot(row.before)),
            (_, Some(was)) => format!("{heading}: {} {vtable} was {was} and is {text}", slot(row.after)),
            _ => format!("{heading}: {} {vtable} is another {text}", slot(row.after)),
        }
    }

    fn heads(&self, name: String, kind: Kind, new: TypeId, was: String, is: String) -> Change {
        let row = |mark, text: &str| Row {
            mark,
            before: None,
            after: None,
            size: None,
            text: text.to_owned(),
            was: None,
            unit: Unit::None,
        };
        let rows = match was == is {
            true => vec![row(Mark::Changed, &is)],
            false => vec![row(Mark::Removed, &was), row(Mark::Added, &is)],
        };
        let reason = format!("it was {was} and is {is}");
        Change {
            title: name.clone(),
            heading: name.clone(),
            name,
            kind,
            source: self.source(new),
            before: None,
            after: None,
            reason,
            rows,
        }
    }

    fn source(&self, new: TypeId) -> Option<String> {
        self.new.source(new).map(|(file, line)| format!("{file}:{line}"))
    }

    /// An array of a variable may be open on one side: its size is known by the symbol.
    fn same_element(&mut self, old: u32, new: u32) -> bool {
        let arrays = self.old.strip(old).zip(self.new.strip(new)).filter(|&(a, b)| {
            self.old.entry(a).tag == dw::DW_TAG_array_type && self.new.entry(b).tag == dw::DW_TAG_array_type
        });
        match arrays {
            Some((a, b))
                if self.old.dimensions(a).contains(&None) || self.new.dimensions(b).contains(&None) =>
            {
                self.same(self.old.entry(a).target, self.new.entry(b).target)
            }
            _ => self.same(old, new),
        }
    }

    /// Whether two types mean the same bytes. Types of the same name do: they are compared on their own.
    pub(crate) fn same(&mut self, old: u32, new: u32) -> bool {
        let (old, new) = match (self.old.strip(old), self.new.strip(new)) {
            (None, None) => return true,
            (Some(old), Some(new)) => (old, new),
            _ => return false,
        };
        if let Some(&known) = self.known.get(&(old, new)) {
            return known;
        }
        // No source nests types as deep; damaged debug information might.
        if self.assumed.len() > DEEPEST {
            return false;
        }
        self.known.insert((old, new), true);
        let mark = self.assumed.len();
        self.assumed.push((old, new));
        let same = self.same_shape(old, new);
        if !same {
            // What was concluded from the assumption falls with it.
            for pair in self.assumed.drain(mark..) {
                self.known.remove(&pair);
            }
            self.known.insert((old, new), false);
        }
        if mark == 0 {
            self.assumed.clear();
        }
        same
    }

    fn same_shape(&mut self, old: u32, new: u32) -> bool {
        let (before, after) = (*self.old.entry(old), *self.new.entry(new));
        if before.is_defined() && after.is_defined() {
            let names = (self.old.qualified(TypeId(old)), self.new.qualified(TypeId(new)));
            if let (Some(a), Some(b)) = &names
                && a == b
            {
                return true;
            }
            if before.declaration || after.declaration {
                return false;
            }
            return !matches!(self.defined(TypeId(old), TypeId(new)), Outcome::Changed(_));
        }
        if before.tag != after.tag {
            return false;
        }
        match before.tag {
            dw::DW_TAG_base_type => {
                let integers = is_integer(before.encoding) && is_integer(after.encoding);
                before.size == after.size && (integers || before.encoding == after.encoding)
            }
            _ if before.is_pointer() => {
                let (to_old, to_new) = (self.old.strip(before.target), self.new.strip(after.target));
                // A pointer to anything may be given a type.
                to_old.is_none() || to_new.is_none() || self.same(before.target, after.target)
            }
            dw::DW_TAG_array_type => {
                self.old.dimensions(old) == self.new.dimensions(new)
                    && before.size == after.size
                    && self.same(before.target, after.target)
            }
            dw::DW_TAG_subroutine_type => {
                let ((a, more_a), (b, more_b)) = (self.old.parameters(old), self.new.parameters(new));
                more_a == more_b
                    && a.len() == b.len()
                    && self.same(before.target, after.target)
                    && a.iter().zip(&b).all(|(&a, &b)| self.same(a, b))
            }
            dw::DW_TAG_ptr_to_member_type => {
                self.same(before.containing, after.containing) && self.same(before.target, after.target)
            }
            _ => {
                before.size == after.size
                    && self.old.name(old) == self.new.name(new)
                    && (before.target == NONE) == (after.target == NONE)
                    && self.same(before.target, after.target)
            }
        }
    }

    /// The picture of two definitions.
    fn rows(&mut self, old: u32, new: u32) -> Vec<Row> {
        if self.old.entry(old).is_aggregate() && self.new.entry(new).is_aggregate() {
            let mut rows = self.field_rows(old, new);
            rows.extend(self.slot_rows(old, new));
            return rows;
        }
        self.enumerator_rows(old, new)
    }

    fn field_rows(&mut self, old: u32, new: u32) -> Vec<Row> {
        let (before, after) = (self.old.fields(old), self.new.fields(new));
        let strict = self.new.qualified(TypeId(new)).is_some_and(|name| is_coroutine(&name));
        let matches = matching(&before, &after, strict, |a, b| self.same(a.target, b.target));
        matches.into_iter().map(|found| self.field_row(found, &before, &after)).collect()
    }

    fn field_row(&self, found: Match, before: &[Field], after: &[Field]) -> Row {
        let (old, new) = (found.old.map(|at| &before[at]), found.new.map(|at| &after[at]));
        let was = old.map(|field| spell(self.old, field));
        let is = new.map(|field| spell(self.new, field));
        let size = match (old, new) {
            (_, Some(field)) => self.new.size(field.target),
            (Some(field), None) => self.old.size(field.target),
            (None, None) => None,
        };
        let at = |field: Option<&Field>| field.and_then(|field| field.at).map(i128::from);
        let changed = found.mark == Mark::Changed;
        let resized = || {
            let sizes =
                (old.and_then(|f| self.old.size(f.target)), new.and_then(|f| self.new.size(f.target)));
            match sizes {
                (Some(a), Some(b)) if a != b => Some(format!("{a} bytes")),
                _ => None,
            }
        };
        let still = was == is;
        // Something must differ that can be seen: the inside of a part, if nothing else.
        let inside = changed && still && at(old) == at(new);
        let note = match (&was, changed) {
            (Some(_), true) if inside => resized().or_else(|| Some("laid out in another way".into())),
            (Some(was), true) if !still => {
                Some(resized().map_or_else(|| was.clone(), |bytes| format!("{was}, {bytes}")))
            }
            _ => None,
        };
        Row {
            mark: found.mark,
            before: at(old),
            after: at(new),
            size,
            text: is.or(was).unwrap_or_default(),
            was: note,
            unit: Unit::Bits,
        }
    }

    fn slot_rows(&mut self, old: u32, new: u32) -> Vec<Row> {
        let by_number = |types: &Types, class| -> BTreeMap<u64, (String, u32)> {
            types.slots(class).into_iter().map(|slot| (slot.number, (slot.name, slot.method))).collect()
        };
        let (before, after) = (by_number(self.old, old), by_number(self.new, new));
        let mut numbers: Vec<u64> = before.keys().chain(after.keys()).copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut out = Vec::new();
        for number in numbers {
            let (a, b) = (before.get(&number), after.get(&number));
            let mark = match (a, b) {
                (Some((name, method)), Some((name_now, now))) => {
                    let same =
                        name == name_now && self.signature(TypeId(*method), TypeId(*now)) == Outcome::Same;
                    if same { Mark::Same } else { Mark::Changed }
                }
                // What a base has a slot for may be overridden, and no longer be.
                (None, _) if self.new.inherits_slot(new, number) => Mark::Compatible,
                (None, _) => Mark::Added,
                (_, None) if self.old.inherits_slot(old, number) => Mark::Compatible,
                (_, None) => Mark::Removed,
            };
            let head =
                |types: &Types, slot: Option<&(String, u32)>| slot.map(|(_, method)| types.method(*method));
            let (mut was, mut is) = (head(self.old, a), head(self.new, b));
            if mark == Mark::Changed && was == is {
                let head = |types: &Types, slot: Option<&(String, u32)>| {
                    slot.map(|(_, method)| {
                        format!("{} {}", types.describe(types.returned(*method)), types.method(*method))
                    })
                };
                (was, is) = (head(self.old, a), head(self.new, b));
            }
            out.push(Row {
                mark,
                before: a.map(|_| number.into()),
                after: b.map(|_| number.into()),
                size: None,
                was: was.clone().filter(|was| mark == Mark::Changed && Some(was) != is.as_ref()),
                text: is.or(was).unwrap_or_default(),
                unit: Unit::Slot,
            });
        }
        out
    }

    fn enumerator_rows(&mut self, old: u32, new: u32) -> Vec<Row> {
        let (before, after) = (self.old.enumerators(old), self.new.enumerators(new));
        let row = |mark, before, after, text: &str, was| Row {
            mark,
            before,
            after,
            size: None,
            text: text.to_owned(),
            was,
            unit: Unit::Value,
        };
        let mut out = Vec::new();
        for (name, value) in &after {
            let own = before.iter().find(|(other, _)| other == name);
            let renamed = before
                .iter()
                .find(|(other, number)| number == value && !after.iter().any(|(name, _)| name == other));
            out.push(match (own, renamed) {
                (Some((_, was)), _) if was == value => row(Mark::Same, Some(*was), Some(*value), name, None),
                (Some((_, was)), _) => row(Mark::Changed, Some(*was), Some(*value), name, None),
                (None, Some(_)) => row(Mark::Same, Some(*value), Some(*value), name, None),
                (None, None) => row(Mark::Compatible, None, Some(*value), name, None),
            });
        }
        for (name, value) in &before {
            let gone = !after.iter().any(|(other, number)| other == name || number == value);
            if gone {
                out.push(row(Mark::Removed, Some(*value), None, name, None));
            }
        }
        out
    }
}

/// Names and variants of what a coroutine keeps while it is suspended are part of its layout: a state of the old
/// one would go on at another place of the new one.
fn is_coroutine(name: &str) -> bool {
    ["{async_fn_env#", "{async_block_env#", "{async_closure_env#", "{coroutine_env#", "{gen_", "{async_gen_"]
        .iter()
        .any(|part| name.contains(part))
}

/// Whether any bytes of it are a value: integers and characters, of either sign.
fn is_integer(encoding: u8) -> bool {
    matches!(
        gimli::DwAte(encoding),
        dw::DW_ATE_signed | dw::DW_ATE_unsigned | dw::DW_ATE_signed_char | dw::DW_ATE_unsigned_char
    )
}

/// What a definition is, as far as it matters.
fn kind(types: &Types, number: u32) -> (bool, bool) {
    let entry = types.entry(number);
    (entry.is_aggregate(), entry.is_union())
}

fn change_kind(types: &Types, number: u32) -> Kind {
    match types.keyword(number) {
        "union" => Kind::Union,
        "enum" => Kind::Enum,
        "class" => Kind::Class,
        _ => Kind::Struct,
    }
}

fn spell(types: &Types, field: &Field) -> String {
    let name = field.name.as_str();
    match field.role {
        Role::Base => format!("base class {name}"),
        Role::VirtualBase(_) => format!("virtual base class {name}"),
        Role::Variant(Some(value)) => format!("variant {name} = {value}"),
        Role::Variant(None) => format!("variant {name}"),
        Role::Discriminant => format!("{} {name}", types.describe(field.target)),
        Role::Member => {
            let text = types.declare(field.target, name);
            field.bits.map_or_else(|| text.clone(), |bits| format!("{text} : {bits}"))
        }
    }
}

/// What became of a part, in words.
fn reason(row: &Row) -> String {
    let what = match row.unit {
        Unit::Slot => "slot",
        Unit::Value => "value",
        _ => "offset",
    };
    let place = |number: Option<i128>| match number {
        Some(bits) if row.unit == Unit::Bits && bits % 8 != 0 => format!("{what} {}:{}", bits / 8, bits % 8),
        Some(bits) if row.unit == Unit::Bits => format!("{what} {}", bits / 8),
        Some(number) => format!("{what} {number}"),
        None => "no fixed place".to_owned(),
    };
    let text = &row.text;
    match (row.mark, &row.was) {
        (Mark::Added | Mark::Compatible, _) if row.after.is_none() => format!("{text} is new"),
        (Mark::Added | Mark::Compatible, _) => format!("{text} is new at {}", place(row.after)),
        (Mark::Removed, _) => format!("{text} at {} is gone", place(row.before)),
        (_, Some(was)) if row.before == row.after => format!("{text} at {} was {was}", place(row.after)),
        (_, Some(was)) => format!("{text} at {} was {was} at {}", place(row.after), place(row.before)),
        _ => format!("{text} was at {} and is at {}", place(row.before), place(row.after)),
    }
}
