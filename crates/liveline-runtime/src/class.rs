//! Classes: a name, a factory that is swapped like any object, and the instances it made.
#![allow(unsafe_code)]

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::call::enter;
use crate::entry::{EntryRef, Target};
use crate::error::ClassError;
use crate::factory::{Factory, Make, Works};
use crate::hold::Patience;
use crate::object::Interface;
use crate::panics::inward;
use crate::pool::Pool;
use crate::reference::ObjectRef;
use crate::registry;
use crate::shared::shared;
use crate::thread::{attached, current, domain};
use crate::update::{Pace, Report, Update};
use crate::version::Version;
use crate::wait;

/// A class: it makes objects with the interface `I` from arguments `A`, keeps track of them, and replaces them all
/// when it is updated.
///
/// It lives as long as the program; this is a reference to it.
pub struct Class<I: ?Sized + Interface, A: 'static = ()> {
    core: &'static Core<A>,
    interface: PhantomData<fn() -> Box<I>>,
}

struct Core<A: 'static> {
    name: String,
    /// The factory's own entry of the object translation table.
    factory: EntryRef,
    instances: &'static Pool,
    line: Mutex<Line<A>>,
}

/// The versions of a class: one after the other.
struct Line<A> {
    current: Works<A>,
    /// What a revert goes back to, the oldest first.
    before: Vec<Works<A>>,
    /// What the last revert left.
    left: Option<Works<A>>,
    sweep: Option<Sweep>,
}

/// How an update is made.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Options {
    /// How long calls may be kept waiting.
    pub patience: Patience,
    /// How many instances are replaced at the same time; 0: half as many as there are CPUs.
    pub workers: usize,
}

impl Options {
    /// All instances are replaced with this patience.
    pub fn with_patience(patience: Patience) -> Self {
        Self { patience, ..Self::default() }
    }
}

impl<I: ?Sized + Interface, A: Send + 'static> Class<I, A> {
    /// A new class. Its first version has the number that the factory says, mostly 1.
    ///
    /// # Errors
    /// [`ClassError::NameTaken`]; [`ClassError::Entering`].
    pub fn new(name: &str, factory: Factory<I, A>) -> Result<Self, ClassError> {
        if attached().is_entering() {
            return Err(ClassError::Entering);
        }
        let current = factory.works(factory.version());
        registry::add(name, || {
            // Only now: pools are never freed, and the name may be taken.
            let (instances, factories) = (Pool::leak(domain(), shards()), Pool::leak(domain(), 1));
            instances.introduce(&current.version);
            let make: Box<dyn Make<A>> = Box::new(current.clone());
            let factory = factories.adopt(Target::of(make), &current.version, domain().generation());
            let line = Mutex::new(Line { current, before: Vec::new(), left: None, sweep: None });
            let core: &'static Core<A> =
                Box::leak(Box::new(Core { name: name.to_string(), factory, instances, line }));
            Self { core, interface: PhantomData }
        })
    }

    /// The class of that name.
    ///
    /// # Errors
    /// [`ClassError::Unknown`]; [`ClassError::Mismatch`] if it has another interface or other arguments.
    pub fn find(name: &str) -> Result<Self, ClassError> {
        registry::find(name)
    }

    /// A new instance, of the version that is current now.
    pub fn create(&self, arguments: A) -> ObjectRef<I> {
        // The factory is an object too: while we are inside it is not swapped, so an instance is tracked
        // before an update can begin.
        let _inside = enter(current(), self.core.factory);
        // SAFETY: we are inside, and `new` and `begin` put only `dyn Make<A>` there.
        let factory = unsafe { &*self.core.factory.target().pointer::<dyn Make<A>>() };
        let stamp = domain().generation();
        let object = inward(|| factory.make(arguments));
        ObjectRef::of(self.core.instances.adopt(object, factory.version(), stamp))
    }

    /// Makes the factory the current one and replaces all instances, each by itself. Returns when all are done.
    ///
    /// # Errors
    /// Nothing has changed then. An instance that cannot be replaced stays, as the report says.
    pub fn update(&self, factory: Factory<I, A>) -> Result<Report, ClassError> {
        self.update_with(factory, Options::default())
    }

    /// As [`Class::update`], with options.
    ///
    /// # Errors
    /// As [`Class::update`].
    pub fn update_with(&self, factory: Factory<I, A>, options: Options) -> Result<Report, ClassError> {
        let mut line = self.line()?;
        let works = self.next(&line, factory)?;
        let (old, report) = self.replace_all(&mut line, works, options)?;
        line.updated(old);
        Ok(report)
    }

    /// Makes the factory the current one; an instance is replaced when it is first called, or by a thread that
    /// goes through all of them at low priority.
    ///
    /// # Errors
    /// As [`Class::update`].
    pub fn update_lazily(&self, factory: Factory<I, A>, options: Options) -> Result<Sweep, ClassError> {
        let mut line = self.line()?;
        let works = self.next(&line, factory)?;
        let (old, update) = self.begin(&mut line, works, options)?;
        line.updated(old);
        let sweep = Sweep { state: Arc::new(Swept::default()) };
        line.sweep = Some(sweep.clone());
        let state = Arc::clone(&sweep.state);
        let go_through = move |pace| {
            update.sweep(1, pace);
            *lock(&state.report) = Some(update.end());
            state.done.notify_all();
        };
        let in_background = go_through.clone();
        if std::thread::Builder::new().spawn(move || in_background(Pace::Background)).is_err() {
            // The system gives no more threads: not lazy, but done.
            go_through(Pace::Awaited);
        }
        Ok(sweep)
    }

    /// Goes back to the code before, as a new version; each revert goes one update further back.
    ///
    /// # Errors
    /// [`ClassError::NothingToRevert`], and as [`Class::update`].
    pub fn revert(&self) -> Result<Report, ClassError> {
        self.revert_with(Options::default())
    }

    /// As [`Class::revert`], with options.
    ///
    /// # Errors
    /// As [`Class::revert`].
    pub fn revert_with(&self, options: Options) -> Result<Report, ClassError> {
        let mut line = self.line()?;
        let works = line.before.last().ok_or(ClassError::NothingToRevert)?;
        let works = works.numbered(line.next_number()?);
        let (old, report) = self.replace_all(&mut line, works, options)?;
        line.before.pop();
        line.left = Some(old);
        Ok(report)
    }

    /// Takes the last revert back: the code that it left, as a new version.
    pub(crate) fn redo_with(&self, options: Options) -> Result<Report, ClassError> {
        let mut line = self.line()?;
        let works = line.left.as_ref().ok_or(ClassError::NothingToRevert)?;
        let works = works.numbered(line.next_number()?);
        let (old, report) = self.replace_all(&mut line, works, options)?;
        line.updated(old);
        Ok(report)
    }

    /// The number under which the current code came. A revert gives code another number.
    pub(crate) fn origin(&self) -> u32 {
        let _inside = enter(current(), self.core.factory);
        // SAFETY: as in `create`.
        unsafe { &*self.core.factory.target().pointer::<dyn Make<A>>() }.origin()
    }

    /// The number of the current version.
    pub fn version(&self) -> u32 {
        let _inside = enter(current(), self.core.factory);
        // SAFETY: as in `create`.
        unsafe { &*self.core.factory.target().pointer::<dyn Make<A>>() }.version().number
    }

    /// The class's name.
    pub fn name(&self) -> &'static str {
        &self.core.name
    }

    /// How many instances there are.
    pub fn len(&self) -> usize {
        self.core.instances.len()
    }

    /// Whether there is no instance.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the class is, for people: its interface and the arguments of construction.
    pub(crate) fn kind() -> String {
        format!("a class of {} made from {}", I::NAME, type_name::<A>())
    }

    /// The line, with no update under way.
    fn line(&self) -> Result<MutexGuard<'static, Line<A>>, ClassError> {
        if attached().is_entering() {
            return Err(ClassError::Entering);
        }
        let mut line = match self.core.line.try_lock() {
            Ok(line) => line,
            Err(TryLockError::Poisoned(line)) => line.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(ClassError::Updating),
        };
        // A lazy update is finished first: instances go from one version to the next.
        if let Some(sweep) = line.sweep.take() {
            sweep.wait();
        }
        Ok(line)
    }

    fn next(&self, line: &Line<A>, factory: Factory<I, A>) -> Result<Works<A>, ClassError> {
        let (running, offered) = (line.current.version.number, factory.version());
        if line.next_number() != Ok(offered) {
            return Err(ClassError::Version { running, offered });
        }
        Ok(factory.works(offered))
    }

    fn replace_all(
        &self,
        line: &mut Line<A>,
        works: Works<A>,
        options: Options,
    ) -> Result<(Works<A>, Report), ClassError> {
        let (old, update) = self.begin(line, works, options)?;
        let workers = if options.workers == 0 { (shards() / 2).max(1) } else { options.workers };
        update.sweep(workers, Pace::Awaited);
        Ok((old, update.end()))
    }

    /// Swaps the factory and begins the update of the instances, in one. Gives the factory that was.
    fn begin(
        &self,
        line: &mut Line<A>,
        works: Works<A>,
        options: Options,
    ) -> Result<(Works<A>, Arc<Update>), ClassError> {
        let core = self.core;
        let held = options.patience.hold(attached(), core.factory).map_err(ClassError::Factory)?;
        // Nobody is inside the factory: all instances are tracked and no new one comes.
        if core.instances.len() > 0 {
            let (old, new) = (&line.current.version.code, &works.version.code);
            old.gives().best(new.takes()).map_err(ClassError::Factory)?;
        }
        let update = Update::begin(core.instances, Arc::clone(&works.version), options.patience)
            .map_err(ClassError::Factory)?;
        let make: Box<dyn Make<A>> = Box::new(works.clone());
        let old = held.replace(Target::of(make), works.version.id);
        held.open(domain().generation());
        // SAFETY: the old factory is out of the table, nobody is inside, and it was a `dyn Make<A>`.
        drop(unsafe { old.into_box::<dyn Make<A>>() });
        Ok((std::mem::replace(&mut line.current, works), update))
    }
}

impl<A> Line<A> {
    /// The number of the next version.
    fn next_number(&self) -> Result<u32, ClassError> {
        let running = self.current.version.number;
        running.checked_add(1).ok_or(ClassError::Version { running, offered: running })
    }

    /// There is one more to go back to.
    fn updated(&mut self, old: Works<A>) {
        self.before.push(old);
        self.left = None;
    }
}

impl<I: ?Sized + Interface, A: 'static> Clone for Class<I, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I: ?Sized + Interface, A: 'static> Copy for Class<I, A> {}

// It can be called after any panic: what a constructor left half-made was never tracked.
impl<I: ?Sized + Interface, A: 'static> UnwindSafe for Class<I, A> {}
impl<I: ?Sized + Interface, A: 'static> RefUnwindSafe for Class<I, A> {}

impl<I: ?Sized + Interface, A: 'static> fmt::Debug for Class<I, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Class").field("name", &self.core.name).field("interface", &I::NAME).finish()
    }
}

/// A lazy update under way.
#[derive(Clone)]
pub struct Sweep {
    state: Arc<Swept>,
}

#[derive(Default)]
struct Swept {
    report: Mutex<Option<Report>>,
    done: Condvar,
}

impl Sweep {
    /// Waits until every instance was looked at.
    pub fn wait(&self) -> Report {
        let mut report = lock(&self.state.report);
        loop {
            if let Some(report) = &*report {
                return report.clone();
            }
            report = self.state.done.wait(report).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The report, if every instance was looked at.
    pub fn report(&self) -> Option<Report> {
        lock(&self.state.report).clone()
    }
}

impl fmt::Debug for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep").field("report", &self.report()).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many instance lists a class has: one for each CPU.
pub(crate) fn shards() -> usize {
    wait::processors().min(64)
}

/// A number that no version of this program has yet.
pub(crate) fn version_id() -> u32 {
    shared().version_ids.fetch_add(1, Ordering::Relaxed)
}

impl<A> Works<A> {
    /// The same code under another number.
    fn numbered(&self, number: u32) -> Self {
        let version = Version { id: version_id(), number, code: Arc::clone(&self.version.code) };
        Self { version: Arc::new(version), construct: Arc::clone(&self.construct), origin: self.origin }
    }
}
