//! A type that is laid out in another way, and its picture.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// What is laid out in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Name with its scopes.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// As it is called: `struct NAME` in C.
    pub title: String,
    /// As a person reads it: `class NAME` in C++, too.
    pub heading: String,
    /// Source file and line in the new build.
    pub source: Option<String>,
    /// Bytes before.
    pub before: Option<u64>,
    /// Bytes after.
    pub after: Option<u64>,
    /// The first difference, in words.
    pub reason: String,
    /// The picture.
    pub rows: Vec<Row>,
}

/// What a changed thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `struct`.
    Struct,
    /// `class`.
    Class,
    /// `union`.
    Union,
    /// `enum`.
    Enum,
    /// Parameters and result of a function.
    Function,
    /// The type of a variable.
    Variable,
    /// The code of an `async` function or block.
    Coroutine,
}

/// One line of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What became of it.
    pub mark: Mark,
    /// Offset in bits before (of a slot: its number; of an enumerator: its value).
    pub before: Option<i128>,
    /// The same after.
    pub after: Option<i128>,
    /// Bytes after (before, if it is gone).
    pub size: Option<u64>,
    /// What it is.
    pub text: String,
    /// Type and name before, where they are others now.
    pub was: Option<String>,
    /// Which column rule holds.
    pub unit: Unit,
}

/// What the numbers of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Offsets in bits.
    Bits,
    /// Slots of a vtable.
    Slot,
    /// Values.
    Value,
    /// No number.
    None,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// As it was.
    Same,
    /// New.
    Added,
    /// New, and in nobody's way.
    Compatible,
    /// Gone.
    Removed,
    /// Moved, or of another type.
    Changed,
}

impl Mark {
    /// Whether it makes another layout.
    pub(crate) fn matters(self) -> bool {
        matches!(self, Mark::Added | Mark::Removed | Mark::Changed)
    }
}

impl Row {
    fn sign(&self) -> char {
        match self.mark {
            Mark::Same => ' ',
            Mark::Compatible if self.after.is_none() => '-',
            Mark::Added | Mark::Compatible => '+',
            Mark::Removed => '-',
            Mark::Changed => '~',
        }
    }
}

/// Unchanged lines shown around changed ones.
const AROUND: usize = 2;

impl Change {
    /// The bytes of the new layout in which new code may find what it does not expect. Nothing where no member is
    /// new, another, or elsewhere.
    pub fn touched(&self) -> Option<Range<u64>> {
        let rows = self.rows.iter().filter(|row| row.unit == Unit::Bits && row.mark.matters());
        let first = rows.filter_map(|row| row.after).min()?;
        Some(u64::try_from(first / 8).ok()?..self.after?)
    }

    /// Whether what matters most is its vtable.
    pub fn is_vtable(&self) -> bool {
        let first = self.rows.iter().find(|row| row.mark.matters());
        first
            .or(self.rows.iter().find(|row| row.mark == Mark::Compatible))
            .is_some_and(|row| row.unit == Unit::Slot)
    }

    /// Size before and after, in words.
    fn sizes(&self) -> String {
        match (self.before, self.after) {
            (Some(before), Some(after)) if before != after => format!(": {before} → {after} bytes"),
            (Some(size), Some(_)) => format!(": {size} bytes"),
            _ => String::new(),
        }
    }

    /// How far a row moved, if that is all that became of it.
    fn shift(row: &Row) -> Option<i128> {
        let moved = row.mark == Mark::Changed && row.unit == Unit::Bits && row.was.is_none();
        moved.then(|| Some(row.after? - row.before?)).flatten()
    }

    /// The lines to leave out: (first, behind the last, words instead).
    fn gaps(&self) -> Vec<(usize, usize, String)> {
        let alike = |a: &Row, b: &Row| a.mark == b.mark && Self::shift(a) == Self::shift(b);
        let dull = |row: &Row| matches!(row.mark, Mark::Same) || Self::shift(row).is_some();
        let mut out = Vec::new();
        let mut start = 0;
        while start < self.rows.len() {
            let first = &self.rows[start];
            let run = self.rows[start..].iter().take_while(|row| dull(row) && alike(row, first)).count();
            let head = if start == 0 { 0 } else { AROUND };
            let tail = if start + run == self.rows.len() { 0 } else { AROUND };
            // Leaving out a single line saves nothing.
            if run > head + tail + 1 {
                let count = run - head - tail;
                let words = match Self::shift(first) {
                    Some(bits) if bits % 8 == 0 => format!("{count} more, moved by {:+} bytes", bits / 8),
                    Some(bits) => format!("{count} more, moved by {bits:+} bits"),
                    None => format!("{count} more, as they were"),
                };
                out.push((start + head, start + run - tail, words));
            }
            start += run.max(1);
        }
        out
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.heading)?;
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        writeln!(f, "{}", self.sizes())?;
        let mut gaps = self.gaps().into_iter().peekable();
        let mut unit = None;
        let mut at = 0;
        while let Some(row) = self.rows.get(at) {
            if unit != Some(row.unit) {
                unit = Some(row.unit);
                let (what, size) = match row.unit {
                    Unit::Bits => ("offset before", "size"),
                    Unit::Slot => ("slot before", ""),
                    Unit::Value => ("value before", ""),
                    Unit::None => ("", ""),
                };
                if row.unit != Unit::None {
                    writeln!(f, "  {what:>14}  {:>7}  {size:>6}", "after")?;
                }
            }
            if let Some((_, end, words)) = gaps.next_if(|(start, _, _)| *start == at) {
                writeln!(f, "    {:>12}  {:>7}  {:>6}  … {words}", "", "", "")?;
                at = end;
                continue;
            }
            write!(f, "  {} ", row.sign())?;
            if row.unit != Unit::None {
                let size = row.size.map_or(String::new(), |size| size.to_string());
                let (before, after) = (position(row, row.before), position(row, row.after));
                write!(f, "{before:>12}  {after:>7}  {size:>6}  ")?;
            }
            write!(f, "{}", row.text)?;
            if let Some(was) = &row.was {
                write!(f, "  (was {was})")?;
            }
            writeln!(f)?;
            at += 1;
        }
        Ok(())
    }
}

/// A number of a row; offsets as bytes, and bits where they are not whole.
fn position(row: &Row, number: Option<i128>) -> String {
    match number {
        None => String::new(),
        Some(bits) if row.unit == Unit::Bits && bits % 8 != 0 => format!("{}:{}", bits / 8, bits % 8),
        Some(bits) if row.unit == Unit::Bits => (bits / 8).to_string(),
        Some(number) => number.to_string(),
    }
}
