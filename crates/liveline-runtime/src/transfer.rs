//! State transfer: formats given and taken, the best common one, and the way of a state from old to new.

use std::any::{Any, TypeId};
use std::sync::{Mutex, PoisonError};

use crate::error::{Refusal, SwapError};
#[cfg(not(loom))]
use crate::panics::caught;

/// A state on its way. Where it holds an `Arc`, only the pointer travels.
pub(crate) type Payload = Box<dyn Any + Send>;

type Export<T> = Box<dyn Fn(&T) -> Result<Payload, Refusal> + Send + Sync>;
type Import<T> = Box<dyn Fn(Payload) -> Result<T, Refusal> + Send + Sync>;

/// The state formats of a version of a class, those it prefers first.
///
/// A format is a name and a Rust type. The old object is only borrowed while its state is taken, and nothing of
/// it is lost until the new object stands: so a state that is large travels as an `Arc`, which both hold for a
/// moment, without a copy.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
/// use liveline_runtime::Formats;
///
/// struct Table { rows: Arc<Mutex<BTreeMap<String, String>>> }
///
/// fn formats(formats: &mut Formats<Table>) {
///     formats
///         .give("rows", |old: &Table| Arc::clone(&old.rows))
///         .take("rows", |rows| Table { rows })
///         .give("pairs", |old| old.rows.lock().unwrap().clone())
///         .take("pairs", |pairs| Table { rows: Arc::new(Mutex::new(pairs)) });
/// }
/// # let _ = formats;
/// ```
pub struct Formats<T> {
    gives: Vec<(Format, Export<T>)>,
    takes: Vec<(Format, Import<T>)>,
}

impl<T: 'static> Formats<T> {
    pub(crate) fn new() -> Self {
        Self { gives: Vec::new(), takes: Vec::new() }
    }

    /// The version can give its state in this format.
    pub fn give<P: Send + 'static>(
        &mut self,
        name: &'static str,
        export: impl Fn(&T) -> P + Send + Sync + 'static,
    ) -> &mut Self {
        self.try_give(name, move |old| Ok(export(old)))
    }

    /// The version can give its state in this format, or say why not.
    pub fn try_give<P: Send + 'static>(
        &mut self,
        name: &'static str,
        export: impl Fn(&T) -> Result<P, Refusal> + Send + Sync + 'static,
    ) -> &mut Self {
        let export = Captured::new(export);
        let export = move |old: &T| export.code()(old).map(|state| Box::new(state) as Payload);
        self.gives.push((Format::of::<P>(name), Box::new(export)));
        self
    }

    /// The version can be made of a state in this format.
    pub fn take<P: Send + 'static>(
        &mut self,
        name: &'static str,
        import: impl Fn(P) -> T + Send + Sync + 'static,
    ) -> &mut Self {
        self.try_take(name, move |state| Ok(import(state)))
    }

    /// The version can be made of a state in this format, or say why not.
    pub fn try_take<P: Send + 'static>(
        &mut self,
        name: &'static str,
        import: impl Fn(P) -> Result<T, Refusal> + Send + Sync + 'static,
    ) -> &mut Self {
        let import = Captured::new(import);
        let import = move |state: Payload| match state.downcast::<P>() {
            Ok(state) => import.code()(*state),
            Err(_) => Err(Refusal::new(format!("state format {name} came with another type"))),
        };
        self.takes.push((Format::of::<P>(name), Box::new(import)));
        self
    }

    pub(crate) fn given(&self) -> Offer {
        Offer::of(self.gives.iter().map(|(format, _)| *format))
    }

    pub(crate) fn taken(&self) -> Offer {
        Offer::of(self.takes.iter().map(|(format, _)| *format))
    }

    pub(crate) fn export(&self, old: &T, format: Format) -> Result<Payload, Refusal> {
        match self.gives.iter().find(|(f, _)| *f == format) {
            Some((_, export)) => export(old),
            None => Err(Refusal::new(format!("state format {} is not given", format.name()))),
        }
    }

    pub(crate) fn import(&self, state: Payload, format: Format) -> Result<T, Refusal> {
        match self.takes.iter().find(|(f, _)| *f == format) {
            Some((_, import)) => import(state),
            None => Err(Refusal::new(format!("state format {} is not taken", format.name()))),
        }
    }
}

/// A format's number: its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format(usize);

/// Every format that any version named, by number. Two types of one name are two formats.
pub(crate) type Known = Mutex<Vec<Named>>;

/// A format's name, and its type, for people too.
pub(crate) type Named = (&'static str, TypeId, &'static str);

#[cfg(not(loom))]
fn known() -> &'static Known {
    &crate::shared::shared().formats
}

#[cfg(loom)]
fn known() -> &'static Known {
    static KNOWN: Known = Mutex::new(Vec::new());
    &KNOWN
}

impl Format {
    fn of<P: 'static>(name: &'static str) -> Self {
        let mut known = known().lock().unwrap_or_else(PoisonError::into_inner);
        let format = (name, TypeId::of::<P>(), std::any::type_name::<P>());
        let number = known.iter().position(|k| (k.0, k.1) == (format.0, format.1)).unwrap_or_else(|| {
            known.push(format);
            known.len() - 1
        });
        Self(number)
    }

    fn name(self) -> &'static str {
        self.named().0
    }

    fn named(self) -> Named {
        known().lock().unwrap_or_else(PoisonError::into_inner)[self.0]
    }
}

/// The formats that a version gives, or takes: in order of preference, and as a bit vector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    order: Vec<Format>,
    bits: Vec<u64>,
}

impl Offer {
    fn of(formats: impl Iterator<Item = Format>) -> Self {
        let mut offer = Self::default();
        for format in formats {
            let word = format.0 / 64;
            if offer.bits.len() <= word {
                offer.bits.resize(word + 1, 0);
            }
            offer.bits[word] |= 1 << (format.0 % 64);
            offer.order.push(format);
        }
        offer
    }

    fn has(&self, format: Format) -> bool {
        self.bits.get(format.0 / 64).is_some_and(|word| word >> (format.0 % 64) & 1 == 1)
    }

    /// The names of its formats; with their types where the other has another of that name.
    fn names(&self, other: &Self) -> Vec<String> {
        let tell = |format: &Format| {
            let (name, _, of) = format.named();
            match other.order.iter().map(|other| other.named()).find(|other| other.0 == name) {
                Some(twin) if twin.2 == of => format!("{name}: {of} (of a build of its own)"),
                Some(_) => format!("{name}: {of}"),
                None => name.to_owned(),
            }
        };
        self.order.iter().map(tell).collect()
    }

    /// The best common format: of those the old version gives, the one that the new version likes best.
    pub(crate) fn best(&self, takes: &Self) -> Result<Format, SwapError> {
        let common = self.bits.iter().zip(&takes.bits).any(|(gives, takes)| gives & takes != 0);
        let best = common.then(|| takes.order.iter().copied().find(|f| self.has(*f))).flatten();
        best.ok_or_else(|| SwapError::NoCommonFormat { gives: self.names(takes), takes: takes.names(self) })
    }
}

#[cfg(loom)]
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
}

/// Runs what users wrote; a panic becomes an error.
pub(crate) fn guarded<R>(work: impl FnOnce() -> Result<R, Refusal>) -> Result<R, SwapError> {
    match caught(work) {
        Ok(result) => result.map_err(SwapError::Refused),
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().map(ToString::to_string);
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            end(panic);
            Err(SwapError::Panicked(words.unwrap_or_else(|| "no words".to_string())))
        }
    }
}

/// Drops what a panic carried. That may panic again, which must not pass either; what that one carries is forgotten,
/// or it could go on for ever.
pub(crate) fn end(panic: Box<dyn Any + Send>) {
    let _ = caught(move || drop(panic)).map_err(std::mem::forget);
}

/// Code of users that is held. It is dropped when nobody needs it any more, wherever that is: so a panic in that
/// drop ends here, in the copy of this library that the code came with.
pub(crate) struct Captured<F>(Option<F>);

impl<F> Captured<F> {
    pub(crate) fn new(code: F) -> Self {
        Self(Some(code))
    }

    pub(crate) fn code(&self) -> &F {
        self.0.as_ref().expect("only its drop takes it")
    }
}

impl<F> Drop for Captured<F> {
    fn drop(&mut self) {
        let code = self.0.take();
        if let Err(panic) = caught(move || drop(code)) {
            end(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(gives: &[&'static str], takes: &[&'static str]) -> Formats<u8> {
        let mut formats = Formats::new();
        for name in gives {
            formats.give(name, |old: &u8| *old);
        }
        for name in takes {
            formats.take(name, |state: u8| state);
        }
        formats
    }

    #[test]
    fn the_new_version_chooses_among_what_the_old_one_gives() {
        let old = formats(&["a", "b", "c"], &[]);
        let new = formats(&[], &["d", "c", "b"]);
        assert_eq!(old.given().best(&new.taken()).unwrap().name(), "c");
    }

    #[test]
    fn no_common_format_is_told_with_both_sides() {
        let (old, new) = (formats(&["a"], &[]), formats(&[], &["b", "c"]));
        let error = old.given().best(&new.taken()).unwrap_err();
        assert_eq!(
            error,
            SwapError::NoCommonFormat { gives: vec!["a".into()], takes: vec!["b".into(), "c".into()] }
        );
        assert!(error.to_string().ends_with("gives a, the new one takes b, c"), "{error}");
    }

    #[test]
    fn one_name_with_two_types_is_two_formats() {
        let mut other = Formats::<u8>::new();
        other.take("a", |state: String| state.len() as u8);
        let error = formats(&["a"], &[]).given().best(&other.taken()).unwrap_err();
        assert!(
            error.to_string().ends_with("gives a: u8, the new one takes a: alloc::string::String"),
            "{error}"
        );
    }

    #[test]
    fn many_formats_have_many_bits() {
        let names: Vec<&'static str> = (0..200).map(|n| &*format!("bit{n}").leak()).collect();
        let (old, new) = (formats(&names, &[]), formats(&[], &names[199..]));
        assert_eq!(old.given().best(&new.taken()).unwrap().name(), "bit199");
    }

    #[test]
    fn a_panic_that_panics_when_dropped_is_an_error_too() {
        struct Twice;
        impl Drop for Twice {
            fn drop(&mut self) {
                // Without a size, since it is forgotten: a leak checker counts bytes.
                std::panic::panic_any(());
            }
        }
        let result = guarded::<()>(|| std::panic::panic_any(Twice));
        assert_eq!(result, Err(SwapError::Panicked("no words".to_string())));
    }
}
