//! What can go wrong, and what holds afterwards: the old object, or the old class, whole.

use std::error::Error;
use std::fmt;

/// A state that cannot be given or taken, in the words of the class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal, with the reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refusal {}

/// Why an object was not swapped. It is in place as it was, and answers calls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwapError {
    /// Calls were still inside when the time was over.
    Busy {
        /// How many.
        calls: usize,
        /// The kernel's number of a thread that is inside, or began an async call that is.
        thread: usize,
    },
    /// Another swap of the same object did not end in time.
    Contended,
    /// The swap was asked for from inside the object; it would wait for itself.
    FromInside,
    /// The old version gives no format that the new one takes.
    NoCommonFormat {
        /// What the old version gives, preferred first; with its type where the new one takes another of that name.
        gives: Vec<String>,
        /// What the new version takes, preferred first; with its type where the old one gives another of that name.
        takes: Vec<String>,
    },
    /// The old version did not give its state, or the new one did not take it.
    Refused(Refusal),
    /// Giving or taking the state panicked.
    Panicked(String),
    /// The object is an instance of a class: update the class.
    Tracked,
    /// A module's entry asked for it, and an entry only names what is to change.
    Entering,
    /// The kernel refuses `membarrier`: calls in flight cannot be seen.
    NoFence,
    /// There was no memory to note the calls inside.
    OutOfMemory,
}

impl fmt::Display for SwapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { calls, thread } => {
                write!(f, "{calls} calls were still inside when the time was over, one of thread {thread}")
            }
            Self::Contended => f.write_str("another swap of this object did not end in time"),
            Self::FromInside => f.write_str("an object cannot be swapped from inside one of its own calls"),
            Self::NoCommonFormat { gives, takes } => write!(
                f,
                "no common state format: the old version gives {}, the new one takes {}",
                list(gives),
                list(takes)
            ),
            Self::Refused(why) => write!(f, "the state was not transferred: {why}"),
            Self::Panicked(what) => write!(f, "the state transfer panicked: {what}"),
            Self::Tracked => f.write_str("the object is an instance of a class: update the class"),
            Self::Entering => f.write_str(ENTERING),
            Self::NoFence => {
                f.write_str("the kernel refuses membarrier here: calls in flight cannot be seen")
            }
            Self::OutOfMemory => f.write_str("no memory to note the calls inside"),
        }
    }
}

impl Error for SwapError {}

/// Why a class was not updated, or not made. What was there before is there still.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassError {
    /// A class of that name exists.
    NameTaken(String),
    /// There is no class of that name.
    Unknown(String),
    /// The class of that name has another interface, or other arguments of construction.
    Mismatch {
        /// The name that was asked for.
        name: String,
        /// What the class has.
        has: String,
        /// What was asked for.
        wanted: String,
    },
    /// Versions are linear: the update is not the next one.
    Version {
        /// The version that runs.
        running: u32,
        /// The version that was offered.
        offered: u32,
    },
    /// There is no version to go back to.
    NothingToRevert,
    /// Another update of the class is under way.
    Updating,
    /// A module's entry asked for it, and an entry only names what is to change.
    Entering,
    /// The factory could not be swapped.
    Factory(SwapError),
}

impl fmt::Display for ClassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken(name) => write!(f, "a class named {name} exists"),
            Self::Unknown(name) => write!(f, "there is no class named {name}"),
            Self::Mismatch { name, has, wanted } => write!(f, "class {name} is {has}, not {wanted}"),
            Self::Version { running, offered } => write!(
                f,
                "version {running} runs, so the next one is {}, but version {offered} was offered",
                running.saturating_add(1)
            ),
            Self::NothingToRevert => f.write_str("there is no version to go back to"),
            Self::Entering => f.write_str(ENTERING),
            Self::Updating => f.write_str("another update of this class is under way"),
            Self::Factory(why) => write!(f, "the factory was not swapped: {why}"),
        }
    }
}

impl Error for ClassError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Factory(why) => Some(why),
            _ => None,
        }
    }
}

const ENTERING: &str =
    "the entry of a module changes nothing itself: it names what is to change, by `update` and `add`";

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}
