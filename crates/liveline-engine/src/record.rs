//! The registry record: what a patch says of itself in the memory of the program it was put into.
//!
//! Each installed patch begins its read-write segment with one. Fixed words first, so that a killed patcher's
//! traces can be read without parsing anything; a CBOR description behind them. A program forked or
//! checkpointed carries its records along.

use serde::{Deserialize, Serialize};

/// First word of a record: `LIVELINE`.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"LIVELINE");
/// Layout of the words below; a reader leaves records of another layout alone and says so.
pub(crate) const LAYOUT: u64 = 2;
/// Bytes of the fixed part.
pub(crate) const HEADER_SIZE: u64 = 128;

/// Byte offset of the selector word: 0 = old code, 1 = new code. Storing it is the commit.
pub(crate) const SELECTOR: u64 = 16;
/// Byte offset of the phase word, see [`Phase`].
pub(crate) const PHASE: u64 = 24;
/// Byte offset of the generation word.
pub(crate) const GENERATION: u64 = 32;

/// Byte offset of the start word, see [`Start`].
pub(crate) const START: u64 = 96;

/// How far the start of an image is: what the program does once, by one of its own threads, before the new code
/// is switched on. From [`Start::Handed`] on the image must stay mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// No thread has ever been asked.
    NotBegun,
    /// A thread is asked, or was when its patcher died.
    Handed,
    /// A thread is at it.
    Running,
    /// Done.
    Done,
}

impl Start {
    pub(crate) fn word(self) -> u64 {
        match self {
            Start::NotBegun => 0,
            Start::Handed => 1,
            Start::Running => 2,
            Start::Done => 3,
        }
    }

    pub(crate) fn of(word: u64) -> Option<Start> {
        [Start::NotBegun, Start::Handed, Start::Running, Start::Done]
            .into_iter()
            .find(|start| start.word() == word)
    }
}

/// How far an installation is; what the code does is decided by the selector alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Mapped; nothing has ever led here, so it may be unmapped.
    Mapped,
    /// Detours may be in, some or all, without effect.
    Staged,
    /// Committed and tidy.
    Active,
    /// Taken back and tidy: nothing leads here any more. The memory stays, in case something points to it.
    Retired,
}

impl Phase {
    pub(crate) fn word(self) -> u64 {
        match self {
            Phase::Mapped => 0,
            Phase::Staged => 1,
            Phase::Active => 2,
            Phase::Retired => 3,
        }
    }

    fn of(word: u64) -> Option<Phase> {
        [Phase::Mapped, Phase::Staged, Phase::Active, Phase::Retired]
            .into_iter()
            .find(|phase| phase.word() == word)
    }
}

/// The fixed words of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// See [`SELECTOR`].
    pub(crate) selector: u64,
    /// See [`Phase`].
    pub(crate) phase: Phase,
    /// Order of installation in this process, from 1.
    pub(crate) generation: u64,
    /// Address of the mapped image; the record lies in it.
    pub(crate) base: u64,
    /// Bytes from `base` to the record: code, constants, unwind tables.
    pub(crate) code_size: u64,
    /// Bytes from the record to the end of the image.
    pub(crate) data_size: u64,
    /// Load bias of the module that is patched.
    pub(crate) bias: u64,
    /// Functions replaced.
    pub(crate) functions: u64,
    /// Bytes of the CBOR description, which begins behind the three word arrays.
    pub(crate) description_size: u64,
    /// First 8 bytes of the BLAKE3 of the description.
    pub(crate) check: u64,
    /// See [`START`].
    pub(crate) start: Start,
}

impl Header {
    /// The words, in their order in memory.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let words = [
            MAGIC,
            LAYOUT,
            self.selector,
            self.phase.word(),
            self.generation,
            self.base,
            self.code_size,
            self.data_size,
            self.bias,
            self.functions,
            self.description_size,
            self.check,
            self.start.word(),
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(HEADER_SIZE as usize, 0);
        bytes
    }

    /// Reads the words; none if this is no record of a layout we know.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Header> {
        let word = |index: usize| {
            let bytes = bytes.get(index * 8..index * 8 + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        if word(0)? != MAGIC || word(1)? != LAYOUT {
            return None;
        }
        let header = Header {
            selector: word(2)?,
            phase: Phase::of(word(3)?)?,
            generation: word(4)?,
            base: word(5)?,
            code_size: word(6)?,
            data_size: word(7)?,
            bias: word(8)?,
            functions: word(9)?,
            description_size: word(10)?,
            check: word(11)?,
            start: Start::of(word(START as usize / 8)?)?,
        };
        // A record is written by us, but lies in memory that the program can write to.
        let sane = header.functions <= 1 << 20
            && header.generation < 1 << 48
            && header.description_size <= 256 << 20
            && header.base.checked_add(header.code_size)?.checked_add(header.data_size)? < 1 << 47
            && header.description_offset() + header.description_size <= header.data_size;
        sane.then_some(header)
    }

    /// Address of the record.
    pub(crate) fn record(&self) -> u64 {
        self.base + self.code_size
    }

    /// Address of the slot of function `index`.
    pub(crate) fn slot(&self, index: usize) -> u64 {
        self.record() + HEADER_SIZE + 8 * index as u64
    }

    /// Address of the word that tells the thunk of function `index` where the old code is.
    pub(crate) fn old(&self, index: usize) -> u64 {
        self.slot(index) + 8 * self.functions
    }

    /// Byte offset of the description from the record.
    pub(crate) fn description_offset(&self) -> u64 {
        HEADER_SIZE + 24 * self.functions
    }
}

/// What the record says in CBOR. Addresses of the module are link-time, places in the image count from its
/// base, so that the description does not depend on where things lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// Name of the patch.
    pub(crate) name: String,
    /// Version of the patch.
    pub(crate) version: String,
    /// BLAKE3 (hex) of the patch file's contents.
    pub(crate) hash: String,
    /// File name of the module.
    pub(crate) module: String,
    /// Its build-id.
    pub(crate) build_id: Option<String>,
    /// Patches this one needs.
    pub(crate) requires: Vec<liveline_patch::Requirement>,
    /// Seconds since the epoch when it was put in.
    pub(crate) installed_at: u64,
    /// Bytes of code at the start of the image: headers, stubs, thunks, continuations, new functions.
    pub(crate) text_end: u64,
    /// What is replaced, in the order of the slots.
    pub(crate) functions: Vec<Replaced>,
}

/// A replaced function, as the record tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replaced {
    /// Symbol name.
    pub(crate) name: String,
    /// Link-time address of the old entry.
    pub(crate) address: u64,
    /// Size of the old function.
    pub(crate) size: u64,
    /// The old function's other pieces: link-time address and size.
    pub(crate) parts: Vec<(u64, u64)>,
    /// Offset of the detour from the entry.
    pub(crate) detour: u64,
    /// The bytes that the detour overwrites, from the entry plus `detour`.
    pub(crate) old_bytes: [u8; 5],
    /// New code, as offset and size in the image: the function, then its cold parts.
    pub(crate) new: Vec<(u64, u64)>,
}

impl Replaced {
    /// Link-time address of the detour.
    pub(crate) fn detour_address(&self) -> u64 {
        self.address + self.detour
    }
}
