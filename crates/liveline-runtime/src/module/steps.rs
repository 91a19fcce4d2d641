//! What a module brings: named by its entry, checked as a whole, then carried out.

use std::collections::HashMap;
use std::fmt;

use liveline_control::message::Updated;

use crate::class::{Class, Options};
use crate::error::{ClassError, SwapError};
use crate::factory::Factory;
use crate::object::Interface;
use crate::registry::AnyClass;
use crate::update::Report;

/// What a module brings. Its entry names the classes; they are updated when the entry has returned, all or none.
///
/// ```
/// # use liveline_runtime::{Class, Factory, Module, class, interface, module};
/// # #[interface] trait Greeter { fn greet(&self) -> String; }
/// #[derive(Default)]
/// struct Polite;
///
/// #[class(version = 2, stateless)]
/// impl Greeter for Polite {
///     fn greet(&self) -> String {
///         "good day".to_string()
///     }
/// }
///
/// #[module]
/// fn load(module: &mut Module) {
///     module.update("greeter", Factory::new(|()| Polite));
/// }
/// ```
pub struct Module {
    steps: Vec<Box<dyn Step>>,
    renumber: bool,
    /// Classes that earlier builds of this module added.
    own: Vec<String>,
}

impl Module {
    pub(crate) fn new(renumber: bool, own: Vec<String>) -> Self {
        Self { steps: Vec::new(), renumber, own }
    }

    /// The factory is the class's next one.
    pub fn update<I: ?Sized + Interface, A: Send + 'static>(
        &mut self,
        class: &str,
        factory: Factory<I, A>,
    ) -> &mut Self {
        let renumber = self.renumber;
        self.steps.push(Box::new(Update { class: class.to_string(), factory: Some(factory), renumber }));
        self
    }

    /// A new class. Where numbers are given on demand (`liveline apply --renumber`, `liveline watch`), and an earlier build of
    /// this module added it, the factory is its next one.
    pub fn add<I: ?Sized + Interface, A: Send + 'static>(
        &mut self,
        class: &str,
        factory: Factory<I, A>,
    ) -> &mut Self {
        if self.renumber && self.own.iter().any(|own| own == class) {
            return self.update(class, factory);
        }
        self.steps.push(Box::new(Add { class: class.to_string(), factory: Some(factory) }));
        self
    }

    /// Why it cannot be done.
    pub(crate) fn check(&mut self) -> Vec<String> {
        if self.steps.is_empty() {
            return vec!["it brings no class".to_string()];
        }
        let mut reasons: Vec<String> = Vec::new();
        for step in &mut self.steps {
            match step.check() {
                Ok(()) => {}
                Err(error @ ClassError::Version { .. }) => {
                    reasons.push(format!("class {}: {error}", step.class()));
                }
                Err(error) => reasons.push(error.to_string()),
            }
        }
        let mut names: Vec<&str> = self.steps.iter().map(|s| s.class()).collect();
        names.sort_unstable();
        for twice in names.windows(2).filter(|pair| pair[0] == pair[1]) {
            reasons.push(format!("it names class {} twice", twice[0]));
        }
        reasons
    }

    /// Does it all. Where a step fails those before it are taken back.
    pub(crate) fn carry_out(&mut self, options: Options) -> (Vec<Updated>, Vec<Trouble>) {
        // A new class cannot be taken back, and cannot fail once it was checked.
        self.steps.sort_by_key(|s| s.is_new());
        let mut done = Vec::new();
        for step in &mut self.steps {
            let trouble = match step.carry_out(options) {
                Ok((updated, trouble)) => {
                    done.push(updated);
                    trouble
                }
                Err(error) => vec![error.into()],
            };
            if !trouble.is_empty() {
                let back = |updated: &Updated| {
                    not_undone(updated, BACK, options).unwrap_or_else(|| Trouble::taken_back(updated))
                };
                let old = done.iter().rev().filter(|updated| !updated.new);
                return (Vec::new(), trouble.into_iter().chain(old.map(back)).collect());
            }
        }
        (done, Vec::new())
    }
}

/// Why a step did not succeed.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// Whether it may succeed another time: calls did not leave.
    pub(crate) is_busy: bool,
    pub(crate) words: String,
    /// What was done could not be taken back.
    pub(crate) stays: bool,
}

impl Trouble {
    /// A class is neither as it was nor as it should be.
    fn stays(class: &str, why: Vec<Trouble>) -> Self {
        let why: Vec<String> = why.into_iter().map(|trouble| trouble.words).collect();
        let words = format!("class {class} was not taken back: {}", why.join("; "));
        Self { is_busy: false, words, stays: true }
    }

    /// Its code is the old one, but its number is not.
    fn taken_back(updated: &Updated) -> Self {
        let name = &updated.name;
        let version = class(name).map_or(0, |class| class.version());
        let words = format!("class {name} was taken back, which made it version {version}");
        Self { is_busy: false, words, stays: false }
    }
}

impl From<ClassError> for Trouble {
    fn from(error: ClassError) -> Self {
        let is_busy = match &error {
            ClassError::Factory(why) => is_busy(why),
            ClassError::Updating => true,
            _ => false,
        };
        Self { is_busy, words: error.to_string(), stays: false }
    }
}

fn is_busy(error: &SwapError) -> bool {
    matches!(error, SwapError::Busy { .. } | SwapError::Contended)
}

/// Turns a class to other code.
type Turn = fn(&'static dyn AnyClass, Options) -> Result<Report, ClassError>;

const BACK: Turn = |class, options| class.revert_with(options);
const FORTH: Turn = |class, options| class.redo_with(options);

/// Undoes what did not succeed as a whole; tells why where it could not be.
fn not_undone(updated: &Updated, turn: Turn, options: Options) -> Option<Trouble> {
    match turned(updated, turn, options) {
        Ok(troubles) if troubles.is_empty() => None,
        Ok(troubles) => Some(Trouble::stays(&updated.name, troubles)),
        Err(trouble) => Some(Trouble::stays(&updated.name, vec![trouble])),
    }
}

/// Gives classes the code from before, all or none; they get new numbers either way.
pub(crate) fn retire(brought: &[Updated], options: Options) -> Vec<Trouble> {
    let mut back = Vec::new();
    let mut troubles = Vec::new();
    for updated in brought.iter().rev().filter(|updated| !updated.new) {
        match turned(updated, BACK, options) {
            Ok(stay) => {
                back.push(updated);
                troubles = stay;
            }
            Err(trouble) => troubles = vec![trouble],
        }
        if !troubles.is_empty() {
            break;
        }
    }
    if !troubles.is_empty() {
        let forth = back.into_iter().rev().filter_map(|updated| not_undone(updated, FORTH, options));
        troubles.extend(forth);
    }
    troubles
}

/// Turns a class to other code, and tells of instances that did not turn. Error: nothing changed.
fn turned(updated: &Updated, turn: Turn, options: Options) -> Result<Vec<Trouble>, Trouble> {
    let gone = || Trouble { is_busy: false, words: format!("class {} is gone", updated.name), stays: false };
    let report = turn(class(&updated.name).ok_or_else(gone)?, options)?;
    Ok(troubles(&updated.name, &report))
}

fn class(name: &str) -> Option<&'static dyn AnyClass> {
    crate::registry::classes().into_iter().find(|c| c.name() == name)
}

/// Instances that kept their code, those of one reason together; of many reasons some.
fn troubles(class: &str, report: &Report) -> Vec<Trouble> {
    const MOST: usize = 10;
    let mut reasons: HashMap<String, bool> = HashMap::new();
    let mut troubles = Vec::new();
    for why in &report.kept {
        let words = format!("an instance of class {class} was not replaced: {why}");
        if reasons.insert(words.clone(), is_busy(why)).is_none() && reasons.len() <= MOST {
            troubles.push(Trouble { is_busy: is_busy(why), words, stays: false });
        }
    }
    if reasons.len() > MOST {
        let words = format!("and others of class {class}, for {} more reasons", reasons.len() - MOST);
        troubles.push(Trouble { is_busy: reasons.values().any(|busy| *busy), words, stays: false });
    }
    troubles
}

trait Step {
    fn class(&self) -> &str;
    fn is_new(&self) -> bool;
    fn check(&mut self) -> Result<(), ClassError>;
    fn carry_out(&mut self, options: Options) -> Result<(Updated, Vec<Trouble>), ClassError>;
}

struct Update<I: ?Sized + Interface, A: 'static> {
    class: String,
    factory: Option<Factory<I, A>>,
    renumber: bool,
}

impl<I: ?Sized + Interface, A: Send + 'static> Step for Update<I, A> {
    fn class(&self) -> &str {
        &self.class
    }

    fn is_new(&self) -> bool {
        false
    }

    fn check(&mut self) -> Result<(), ClassError> {
        let running = Class::<I, A>::find(&self.class)?.version();
        if self.renumber {
            let next = running.saturating_add(1);
            self.factory = self.factory.take().map(|factory| factory.numbered(next));
        }
        match self.factory.as_ref().map(Factory::version) {
            Some(offered) if running.checked_add(1) != Some(offered) => {
                Err(ClassError::Version { running, offered })
            }
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, options: Options) -> Result<(Updated, Vec<Trouble>), ClassError> {
        let class = Class::<I, A>::find(&self.class)?;
        let factory = self.factory.take().expect("a step is carried out once");
        let version = factory.version();
        let report = class.update_with(factory, options)?;
        let updated = Updated { name: self.class.clone(), version, converted: report.converted, new: false };
        Ok((updated, troubles(&self.class, &report)))
    }
}

struct Add<I: ?Sized + Interface, A: 'static> {
    class: String,
    factory: Option<Factory<I, A>>,
}

impl<I: ?Sized + Interface, A: Send + 'static> Step for Add<I, A> {
    fn class(&self) -> &str {
        &self.class
    }

    fn is_new(&self) -> bool {
        true
    }

    fn check(&mut self) -> Result<(), ClassError> {
        match crate::registry::classes().iter().any(|c| c.name() == self.class) {
            true => Err(ClassError::NameTaken(self.class.clone())),
            false => Ok(()),
        }
    }

    fn carry_out(&mut self, _: Options) -> Result<(Updated, Vec<Trouble>), ClassError> {
        let factory = self.factory.take().expect("a step is carried out once");
        let version = factory.version();
        Class::new(&self.class, factory)?;
        Ok((Updated { name: self.class.clone(), version, converted: 0, new: true }, Vec::new()))
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|s| s.class())).finish()
    }
}
