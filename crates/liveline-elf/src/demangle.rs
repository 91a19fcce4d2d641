//! Symbols of C++ and Rust as the source has them.

use std::borrow::Cow;
use std::fmt;

use cpp_demangle::{DemangleOptions, Symbol};

/// Longer names are left as symbols: a symbol of a few hundred bytes can stand for megabytes.
const LONGEST: usize = 4096;

/// The function or variable that a symbol means, as the source has it; the symbol itself if it is of neither language.
pub fn name(symbol: &str) -> Cow<'_, str> {
    rust(symbol).or_else(|| cpp(symbol)).map_or(Cow::Borrowed(symbol), Cow::Owned)
}

/// A text for a person: each symbol in it as the source has it.
pub fn text(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find("_Z").into_iter().chain(text[at..].find("_R")).min() {
        let start = at + found;
        let inside = text[..start].chars().next_back().is_some_and(is_part);
        let length = text[start..].find(|letter| !is_part(letter)).unwrap_or(text.len() - start);
        // A full stop ends a sentence, not a symbol.
        let symbol = text[start..start + length].trim_end_matches('.');
        at = start + symbol.len().max(2);
        if inside {
            continue;
        }
        if let Cow::Owned(name) = name(symbol) {
            out.push_str(&text[done..start]);
            out.push_str(&name);
            done = at;
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '$')
}

fn rust(symbol: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(symbol).ok()?;
    let mut out = Short(String::new());
    fmt::write(&mut out, format_args!("{demangled:#}")).ok()?;
    Some(out.0)
}

fn cpp(symbol: &str) -> Option<String> {
    // What compilers hang on: `f(int)` and its part `.cold`.
    let (base, clone) = symbol.split_at(symbol.find('.').unwrap_or(symbol.len()));
    if !base.starts_with("_Z") {
        return None;
    }
    let parsed = Symbol::new(base).ok()?;
    let mut out = Short(String::new());
    parsed.structured_demangle(&mut out, &DemangleOptions::new().no_return_type()).ok()?;
    let mut out = out.0;
    if !clone.is_empty() {
        out.push_str(&format!(" [{clone}]"));
    }
    Some(out)
}

/// A text that does not grow without end.
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.0.len() + more.len() > LONGEST {
            return Err(fmt::Error);
        }
        self.0.push_str(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{name, text};

    #[test]
    fn names() {
        assert_eq!(name("_ZNK5Shape4areaEi"), "Shape::area(int) const");
        assert_eq!(name("_ZN12_GLOBAL__N_14nextEv"), "(anonymous namespace)::next()");
        assert_eq!(name("_Z5clampi.cold"), "clamp(int) [.cold]");
        assert_eq!(name("_ZTV5Shape"), "{vtable(Shape)}");
        assert_eq!(name("_ZN1t6answer17hd2383831eb9c47f6E"), "t::answer");
        assert_eq!(name("_RNvCsfLfy6EI15iL_7mycrate3foo"), "mycrate::foo");
        assert_eq!(name("_ZZ4makeiENKUliE_clEi"), "make(int)::{lambda(int)#1}::operator()(int) const");
        assert_eq!(name("main"), "main");
        assert_eq!(name("_Zebra"), "_Zebra");
    }

    #[test]
    fn texts() {
        assert_eq!(text("used in _Z4makev, _Z1fi."), "used in make(), f(int).");
        assert_eq!(text("x_Z4makev and _Zebra"), "x_Z4makev and _Zebra");
        assert_eq!(text("a.o: nothing"), "a.o: nothing");
    }

    #[test]
    fn a_name_that_would_fill_memory_stays_a_symbol() {
        let bomb = |rounds: usize| {
            let mut symbol = String::from("_Z1f1tIS_");
            symbol.truncate(4);
            let mut inner = String::from("1aI1bE");
            for _ in 0..rounds {
                inner = format!("1cI{inner}S0_S0_S0_S0_E");
            }
            symbol.push_str(&inner);
            symbol
        };
        assert!(name(&bomb(2)).starts_with("f(c<c<a<b>"), "{}", name(&bomb(2)));
        assert!(name(&bomb(60)).len() <= 4096.max(bomb(60).len()));
    }
}
