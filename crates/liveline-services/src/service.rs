//! Services: a session ends on the version on which it began, and new sessions get the new one.
//!
//! ```
//! use liveline_runtime::{class, interface};
//! use liveline_services::service::Service;
//!
//! #[interface]
//! trait Mail { fn greeting(&self) -> String; }
//! struct Old;
//! struct New;
//!
//! #[class]
//! impl Mail for Old { fn greeting(&self) -> String { "old".into() } }
//! #[class(version = 2)]
//! impl Mail for New { fn greeting(&self) -> String { "new".into() } }
//!
//! # fn main() -> Result<(), liveline_services::service::ServiceError> {
//! let service = Service::<dyn Mail>::new(Old);
//! let before = service.open();
//! service.update(New)?;
//! assert_eq!((before.greeting(), service.open().greeting()), ("old".into(), "new".into()));
//! # Ok(())
//! # }
//! ```
//!
//! What a session is inside of is an object as well: `ObjectRef::swap` repairs a version for the sessions that it has.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use liveline_runtime::{Interface, Object, ObjectRef};

/// Why a service was not updated. It goes on as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Versions are linear.
    #[error("version {running} runs, so the next one is {}, but version {offered} was offered", running.saturating_add(1))]
    Version {
        /// The version that new sessions get.
        running: u32,
        /// The version that was offered.
        offered: u32,
    },
}

/// The sessions of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// The version.
    pub version: u32,
    /// How many sessions are open.
    pub open: usize,
}

/// A service. It is shared by counting, as an `Arc` is.
pub struct Service<I: ?Sized + Interface> {
    core: Arc<Core<I>>,
}

struct Core<I: ?Sized + Interface> {
    /// The versions that have sessions, and last the one that new sessions get.
    releases: Mutex<Vec<Release<I>>>,
    ended: Condvar,
    drained: Mutex<Option<Arc<Drained>>>,
}

struct Release<I: ?Sized + Interface> {
    version: u32,
    object: ObjectRef<I>,
    sessions: usize,
}

type Drained = dyn Fn(u32) + Send + Sync;

impl<I: ?Sized + Interface> Service<I> {
    /// A service whose sessions are of this version.
    pub fn new<T: Object<Interface = I>>(object: T) -> Self {
        let first = Release { version: T::VERSION, object: ObjectRef::new(object), sessions: 0 };
        let core =
            Core { releases: Mutex::new(vec![first]), ended: Condvar::new(), drained: Mutex::default() };
        Self { core: Arc::new(core) }
    }

    /// Has `drained` called with the number of each old version when its last session has ended, by the thread that
    /// ends it, or that updates a service without sessions. The version's object is gone by then, unless
    /// somebody kept a clone of its reference.
    pub fn on_drained(&self, drained: impl Fn(u32) + Send + Sync + 'static) {
        *lock(&self.core.drained) = Some(Arc::new(drained));
    }

    /// A new session, on the newest version.
    pub fn open(&self) -> Session<I> {
        let mut releases = lock(&self.core.releases);
        let newest = newest(&mut releases);
        newest.sessions += 1;
        let object = Some(newest.object.clone());
        Session { version: newest.version, object, core: Arc::clone(&self.core) }
    }

    /// Gives new sessions another version from now on. Those that are open go on as they are.
    ///
    /// # Errors
    /// [`ServiceError::Version`] if it is not the next one.
    pub fn update<T: Object<Interface = I>>(&self, object: T) -> Result<(), ServiceError> {
        self.update_as(T::VERSION, object)
    }

    /// As [`Service::update`], under another number than the type's own: so one goes back to older code, too.
    ///
    /// # Errors
    /// As [`Service::update`].
    pub fn update_as<T: Object<Interface = I>>(&self, version: u32, object: T) -> Result<(), ServiceError> {
        let object = ObjectRef::new(object);
        let mut releases = lock(&self.core.releases);
        let running = newest(&mut releases).version;
        if running.checked_add(1) != Some(version) {
            return Err(ServiceError::Version { running, offered: version });
        }
        releases.push(Release { version, object, sessions: 0 });
        self.core.drop_drained(releases, running);
        Ok(())
    }

    /// The sessions, by version; last those of the version that new ones get.
    pub fn sessions(&self) -> Vec<Sessions> {
        let releases = lock(&self.core.releases);
        releases.iter().map(|r| Sessions { version: r.version, open: r.sessions }).collect()
    }

    /// The version that new sessions get.
    pub fn version(&self) -> u32 {
        newest(&mut lock(&self.core.releases)).version
    }

    /// Waits until all sessions older than the newest version have ended; false if the time is over.
    pub fn wait_drained(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        let mut releases = lock(&self.core.releases);
        while releases.len() > 1 {
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return false;
            }
            let waited = self.core.ended.wait_timeout(releases, left);
            releases = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl<I: ?Sized + Interface> Core<I> {
    /// Forgets a version that is not the newest and has no session; outside of the lock, since that runs what users
    /// wrote.
    fn drop_drained(&self, mut releases: MutexGuard<'_, Vec<Release<I>>>, version: u32) {
        let last = releases.len() - 1;
        let old = releases[..last].iter().position(|r| r.version == version && r.sessions == 0);
        let Some(old) = old else { return };
        let release = releases.remove(old);
        drop(releases);
        drop(release);
        self.ended.notify_all();
        let drained = lock(&self.drained).clone();
        if let Some(drained) = drained {
            drained(version);
        }
    }
}

impl<I: ?Sized + Interface> Clone for Service<I> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

impl<I: ?Sized + Interface> fmt::Debug for Service<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("interface", &I::NAME).field("sessions", &self.sessions()).finish()
    }
}

/// A session: it is called like the service's interface, and is answered by one version until it is dropped.
pub struct Session<I: ?Sized + Interface> {
    version: u32,
    /// None only while it is dropped.
    object: Option<ObjectRef<I>>,
    core: Arc<Core<I>>,
}

impl<I: ?Sized + Interface> Session<I> {
    /// The version that answers.
    pub fn version(this: &Self) -> u32 {
        this.version
    }
}

impl<I: ?Sized + Interface> Deref for Session<I> {
    type Target = ObjectRef<I>;

    fn deref(&self) -> &ObjectRef<I> {
        self.object.as_ref().expect("a session has its object until it is dropped")
    }
}

impl<I: ?Sized + Interface> Drop for Session<I> {
    fn drop(&mut self) {
        // Before the version counts as drained.
        self.object = None;
        let mut releases = lock(&self.core.releases);
        if let Some(release) = releases.iter_mut().find(|r| r.version == self.version) {
            release.sessions -= 1;
        }
        self.core.drop_drained(releases, self.version);
    }
}

impl<I: ?Sized + Interface> fmt::Debug for Session<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("interface", &I::NAME).field("version", &self.version).finish()
    }
}

fn newest<I: ?Sized + Interface>(releases: &mut [Release<I>]) -> &mut Release<I> {
    releases.last_mut().expect("the newest version is never dropped")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
