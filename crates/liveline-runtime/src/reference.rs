//! `ObjectRef`: what callers hold.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::call::{Ticket, enter, step_inside};
use crate::entry::EntryRef;
use crate::error::SwapError;
use crate::hold::Patience;
use crate::object::{Interface, Object};
use crate::panics::inward;
use crate::pool::Pool;
use crate::shared::shared;
use crate::thread::{attached, current};
use crate::version::{Typed, Version, discard, home, is_of, target_of, transfer};

/// A reference to an object that may be replaced while it is called: `ObjectRef<dyn Cache>` is called like a
/// `Cache`, from any thread. It is shared by counting, as an `Arc` is.
///
/// Its own functions are not methods (`ObjectRef::swap::<New>(&object)`), so that they hide none of the interface.
///
/// Each call is answered by one whole version. Calls may nest, and come back into the object they came from.
pub struct ObjectRef<I: ?Sized + Interface> {
    entry: EntryRef,
    object: PhantomData<Box<I>>,
}

impl<I: ?Sized + Interface> ObjectRef<I> {
    /// An object of its own, without a class. [`ObjectRef::swap`] replaces it.
    pub fn new<T: Object<Interface = I>>(object: T) -> Self {
        let pool = singles();
        let stamp = pool.domain.generation();
        Self::of(pool.adopt(target_of(object), &single_version::<T>(), stamp))
    }

    pub(crate) fn of(entry: EntryRef) -> Self {
        Self { entry, object: PhantomData }
    }

    /// Visits the object: while `visit` runs it is not replaced, so several calls are answered by one version.
    ///
    /// A module that is loaded into a program catches the object's panics around the visit: one that `visit` itself
    /// caught, by `catch_unwind` or by a thread that it waits for, could be the program's, and would end the program.
    #[inline(always)]
    pub fn visit<R>(this: &Self, visit: impl FnOnce(&I) -> R) -> R {
        let inside = enter(current(), this.entry);
        // SAFETY: we are inside, and the entry's target is of `I`: `of` is given entries made with it.
        let object = unsafe { &*this.entry.target().pointer::<I>() };
        let answer = inward(|| visit(object));
        drop(inside);
        answer
    }

    /// Visits the object if it is a `T` now; none if it is of another version, or of a module's `T`.
    pub fn visit_as<T: Object<Interface = I>, R>(this: &Self, visit: impl FnOnce(&T) -> R) -> Option<R> {
        Self::visit(this, |object| {
            let id = this.entry.version();
            let version = this.entry.pool().version(id).unwrap_or_else(|| single(id));
            // Two modules may give one name to two layouts: the type alone does not tell.
            let is_one = version.code.home() == home() && is_of::<T>(object.concrete());
            is_one.then(|| {
                // SAFETY: it is a `T` as this module knows it, or a guarded one: `Concrete` tells the truth.
                visit(unsafe { &*std::ptr::from_ref(object).cast::<T>() })
            })
        })
    }

    /// Visits the object with an async call, which holds its place across awaits and on whatever thread it is
    /// polled. `#[interface]` calls this for async methods.
    pub fn visit_async<'call, R, F>(
        this: &'call Self,
        visit: F,
    ) -> Pin<Box<dyn Future<Output = R> + Send + 'call>>
    where
        F: for<'object> FnOnce(
                &'object I,
                Within<'object, 'call>,
            ) -> Pin<Box<dyn Future<Output = R> + Send + 'object>>
            + Send
            + 'call,
        R: 'call,
    {
        Box::pin(AsyncVisit { entry: this.entry, visit: Some(visit), running: None, object: this })
    }

    /// Replaces the object by one of type `T`, made of the old one's state.
    ///
    /// # Errors
    /// The old object stays in place, whole, if calls do not leave it in time, if it gives no format that `T`
    /// takes, and if giving or taking the state fails or panics. [`SwapError::Tracked`]: it is an instance of
    /// a class.
    pub fn swap<T: Object<Interface = I>>(this: &Self) -> Result<(), SwapError> {
        Self::swap_with::<T>(this, Patience::default())
    }

    /// As [`ObjectRef::swap`], with a bound of your own.
    ///
    /// # Errors
    /// As [`ObjectRef::swap`].
    pub fn swap_with<T: Object<Interface = I>>(this: &Self, patience: Patience) -> Result<(), SwapError> {
        let pool = this.entry.pool();
        if !std::ptr::eq(pool, singles()) {
            return Err(SwapError::Tracked);
        }
        let to = single_version::<T>();
        let record = attached();
        if record.is_entering() {
            return Err(SwapError::Entering);
        }
        let generation = pool.domain.generation();
        let held = patience.hold(record, this.entry)?;
        let from = single(this.entry.version());
        record.begin_transfer(this.entry);
        // SAFETY: the entry said that its object is of this version; we hold it.
        let made = unsafe { transfer(&*from.code, &*to.code, held.target()) };
        record.end_transfer();
        let old = held.replace(made?, to.id);
        held.open(generation);
        // SAFETY: the old object is out of the table, and nobody is inside.
        unsafe { discard(&*from.code, old) };
        Ok(())
    }

    /// The number of the version that answers now.
    pub fn version(this: &Self) -> u32 {
        let id = this.entry.version();
        this.entry.pool().version(id).unwrap_or_else(|| single(id)).number
    }
}

/// The versions of objects without a class: one for each type that was ever used so.
fn singles() -> &'static Pool {
    shared().singles.get_or_init(|| Pool::leak(crate::thread::domain(), crate::class::shards()))
}

impl<I: ?Sized + Interface> Clone for ObjectRef<I> {
    fn clone(&self) -> Self {
        self.entry.retain();
        Self::of(self.entry)
    }
}

impl<I: ?Sized + Interface> Drop for ObjectRef<I> {
    fn drop(&mut self) {
        if self.entry.release() {
            let target = self.entry.pool().retire(self.entry);
            // SAFETY: it was the last reference, and the target is of `I`.
            inward(|| drop(unsafe { target.into_box::<I>() }));
        }
    }
}

/// Two references are equal if they lead to the same object, whatever its version.
impl<I: ?Sized + Interface> PartialEq for ObjectRef<I> {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

impl<I: ?Sized + Interface> Eq for ObjectRef<I> {}

impl<I: ?Sized + Interface> Hash for ObjectRef<I> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entry.hash(state);
    }
}

impl<I: ?Sized + Interface> fmt::Debug for ObjectRef<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", I::NAME, self.entry)
    }
}

/// Says that an async call's arguments outlive its visit of the object.
pub type Within<'object, 'call> = PhantomData<&'object &'call ()>;

type Running<'call, R> = Pin<Box<dyn Future<Output = R> + Send + 'call>>;

struct AsyncVisit<'call, I: ?Sized + Interface, F, R> {
    entry: EntryRef,
    visit: Option<F>,
    /// The call, and behind it what keeps the object in place: dropped in this order.
    running: Option<(Running<'call, R>, Ticket)>,
    object: &'call ObjectRef<I>,
}

// Nothing in it is pinned in place: what runs is boxed.
impl<I: ?Sized + Interface, F, R> Unpin for AsyncVisit<'_, I, F, R> {}

impl<'call, I, F, R> Future for AsyncVisit<'call, I, F, R>
where
    I: ?Sized + Interface,
    F: for<'object> FnOnce(
        &'object I,
        Within<'object, 'call>,
    ) -> Pin<Box<dyn Future<Output = R> + Send + 'object>>,
{
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        let record = attached();
        if let Some(visit) = this.visit.take() {
            let Poll::Ready(ticket) = Ticket::poll(record, this.entry, context) else {
                this.visit = Some(visit);
                return Poll::Pending;
            };
            let _inside = step_inside(record, this.entry);
            // SAFETY: the ticket keeps the object in place; it is dropped after the future that borrows it,
            // and the answer cannot borrow it, since `visit` works for every lifetime.
            let object: &'call I = unsafe { &*this.object.entry.target().pointer::<I>() };
            this.running = Some((inward(|| visit(object, PhantomData)), ticket));
        }
        let (running, _) = this.running.as_mut().expect("polled after it was ready");
        let inside = step_inside(record, this.entry);
        let answer = inward(|| running.as_mut().poll(context));
        drop(inside);
        if answer.is_ready() {
            this.running = None;
        }
        answer
    }
}

// Each module has its own: a type of one name may have other code there.
static VERSIONS: std::sync::RwLock<Vec<(TypeId, Arc<Version>)>> = std::sync::RwLock::new(Vec::new());

/// The version of objects of this type that have no class.
fn single_version<T: Object>() -> Arc<Version> {
    let kind = TypeId::of::<T>();
    let known = |all: &[(TypeId, Arc<Version>)]| {
        all.iter().find(|(k, _)| *k == kind).map(|(_, version)| Arc::clone(version))
    };
    if let Some(version) = known(&VERSIONS.read().unwrap_or_else(std::sync::PoisonError::into_inner)) {
        return version;
    }
    // Before the lock: it runs `T::formats`, which is the user's.
    let code = Arc::new(Typed::<T>::new());
    let mut all = VERSIONS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    known(&all).unwrap_or_else(|| {
        let version = Arc::new(Version { id: crate::class::version_id(), number: T::VERSION, code });
        singles().introduce(&version);
        all.push((kind, Arc::clone(&version)));
        version
    })
}

fn single(id: u32) -> Arc<Version> {
    singles().version(id).expect("objects without a class are of versions that are never forgotten")
}
