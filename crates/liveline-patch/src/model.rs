//! The model of a patch: what the builder makes and the engine installs.

use serde::{Deserialize, Serialize};

/// One patch for one program or shared library.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// What the patch is, for whom, and what it replaces.
    pub meta: Meta,
    /// New code and data, in the order they are laid out.
    pub sections: Vec<Section>,
    /// Symbols that relocations and [`Function::new`] point to, by index.
    pub symbols: Vec<Symbol>,
}

/// Version of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Raised when an old reader would misread a new file.
    pub major: u32,
    /// Raised when something was added that an old reader may ignore.
    pub minor: u32,
}

/// The description of a patch, stored as CBOR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the format this was written in.
    pub format: Format,
    /// Name of the patch: `[A-Za-z0-9._+~-]`, 1 to 64 bytes. One patch of a name is in a process at a time.
    pub name: String,
    /// Version of the patch, free text of the same alphabet.
    pub version: String,
    /// Patches that must be in the process before this one.
    #[serde(default)]
    pub requires: Vec<Requirement>,
    /// The program or library this is for.
    pub target: Target,
    /// What is replaced.
    pub functions: Vec<Function>,
    /// One for every function that is not simply unchanged, for people and reviewers.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    /// What a person should know and the patch cannot carry (initial values that differ, …).
    #[serde(default)]
    pub notes: Vec<String>,
    /// The new code throws, catches or cleans up: its unwind records must be known to the program's unwinder
    /// (`__register_frame_info`) before it runs.
    #[serde(default)]
    pub unwinds: bool,
    /// Functions without arguments (indexes into [`Patch::symbols`]) that the program runs once, in this order,
    /// before the patch is switched on: constructors of new objects.
    #[serde(default)]
    pub initializers: Vec<usize>,
    /// What a person took the responsibility for, by name: types whose layout changed, functions, constants.
    #[serde(default)]
    pub assumed: Vec<String>,
    /// Types were not compared, at a person's wish.
    #[serde(default)]
    pub types_unchecked: bool,
    /// Who made it, e.g. `liveline 0.1.0`.
    #[serde(default)]
    pub made_by: String,
}

/// Another patch, by name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Name of the other patch.
    pub name: String,
    /// Its exact version.
    pub version: String,
}

/// The module (executable or shared library) a patch is for. Addresses are link-time virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// File name as built, for messages: `memcached`, `libssl.so.3`.
    pub file_name: String,
    /// GNU build-id in lower-case hex, if the module has one.
    pub build_id: Option<String>,
    /// BLAKE3 (hex) of the bytes of all executable `PT_LOAD` segments as in the file, in order.
    pub text_hash: String,
    /// Lowest link-time address of a `PT_LOAD` segment, rounded down to a page.
    pub low: u64,
    /// End of the highest `PT_LOAD` segment, rounded up to a page.
    pub high: u64,
    /// Linked to a fixed address (`ET_EXEC`): new code must lie in the low 2 GiB.
    pub fixed: bool,
    /// The main program, rather than a shared library.
    pub executable: bool,
}

/// One function that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Symbol name.
    pub name: String,
    /// Source file as the symbol table names it, for functions that are local to one.
    #[serde(default)]
    pub file: Option<String>,
    /// Entry of the old function.
    pub address: u64,
    /// Length of the old function in bytes.
    pub size: u64,
    /// BLAKE3 (hex) of the `size` old bytes.
    pub hash: String,
    /// Where the detour goes, from the entry: 0, or 4 behind `endbr64`, or behind patchable-entry padding.
    pub detour: u64,
    /// Bytes from the detour on that may be overwritten: to the end of the function plus padding behind it.
    pub room: u64,
    /// Other pieces of the old function (`.cold` parts): threads must be outside these, too.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Offsets in the old function, behind calls, at which a thread may stay inside: what it has left to do is the
    /// same in the new function, and depends on nothing that the function did before.
    #[serde(default)]
    pub remainders: Vec<u64>,
    /// The symbol (index into [`Patch::symbols`], a [`Place::Here`]) of the new function.
    pub new: usize,
}

/// A piece of old code that belongs to a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Symbol name.
    pub name: String,
    /// First byte.
    pub address: u64,
    /// Length in bytes.
    pub size: u64,
    /// BLAKE3 (hex) of the bytes.
    pub hash: String,
}

/// What the builder says of one function or object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Object file it is in, as given.
    pub object: String,
    /// Function or data object.
    pub symbol: String,
    /// The verdict.
    pub verdict: VerdictKind,
    /// Why, in words.
    pub reason: String,
}

/// Kinds of verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// Replaced: its code differs.
    Changed,
    /// Replaced although its own code is the same: it reads constant data that changed.
    PulledIn,
    /// Comes along: it did not exist.
    New,
    /// Gone in the new build; stays in memory, nothing new calls it.
    Removed,
    /// Differs in line numbers only: left alone.
    LineOnly,
    /// Data that comes along.
    NewData,
    /// Initial value of live data differs: reported, not applied.
    DataValue,
    /// Constant data replaced together with its readers.
    ConstData,
    /// What is refused unless a person accepts it, as one did: a type that is laid out in another way, say.
    Assumed,
    /// Cannot be carried by a patch.
    Refused,
    /// Not part of the target program.
    NotLinked,
}

/// New code or data.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Section name, e.g. `.text.process_command`.
    pub name: String,
    /// What it holds.
    pub kind: SectionKind,
    /// Alignment in bytes, a power of two, at most 4096.
    pub align: u64,
    /// Contents; empty for [`SectionKind::Bss`].
    pub bytes: Vec<u8>,
    /// Size in bytes; equals `bytes.len()` except for [`SectionKind::Bss`].
    pub size: u64,
    /// Fix-ups of the contents.
    pub relocations: Vec<Relocation>,
}

/// What a section holds, and so where it is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// Code: read and execute.
    Text,
    /// Constants: mapped with the code.
    Rodata,
    /// Initialised data: read and write. Constants that hold addresses may lie here or in `Rodata`.
    Data,
    /// Zeroed data: read and write.
    Bss,
    /// `.eh_frame` records (CIEs and FDEs) of the new code, without a terminator.
    EhFrame,
}

/// A fix-up: `value = symbol + addend (- place)`, System V ABI x86-64, table 4.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Where in the section.
    pub offset: u64,
    /// How it is computed and stored.
    pub kind: RelocationKind,
    /// Index into [`Patch::symbols`].
    pub symbol: usize,
    /// Added to the symbol's value.
    pub addend: i64,
}

/// The only relocations a patch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelocationKind {
    /// `R_X86_64_64`: S + A, 8 bytes.
    Abs64,
    /// `R_X86_64_32`: S + A, 4 bytes, zero-extended.
    Abs32,
    /// `R_X86_64_32S`: S + A, 4 bytes, sign-extended.
    Abs32S,
    /// `R_X86_64_PC32` (and `PLT32`): S + A - P, 4 bytes.
    Pc32,
    /// `R_X86_64_PC64`: S + A - P, 8 bytes.
    Pc64,
}

/// A name with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Name, for people and debuggers.
    pub name: String,
    /// Where it is.
    pub place: Place,
}

/// Where a symbol is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In this patch.
    Here {
        /// Index into [`Patch::sections`].
        section: usize,
        /// Offset in it.
        offset: u64,
        /// Size in bytes, 0 if unknown.
        size: u64,
        /// Code, rather than data.
        function: bool,
    },
    /// In the target module: link-time address; the load bias is added.
    Target {
        /// Link-time virtual address.
        address: u64,
    },
    /// The symbol's value is the 8-byte word stored at this link-time address of the running module (a GOT
    /// word the dynamic linker has filled: a module id, a thread-pointer offset).
    TargetWord {
        /// Link-time virtual address of the word.
        address: u64,
        /// The word is the module's own only if no other module of the process exports a thread-local of this
        /// name; checked when the patch is installed.
        #[serde(default)]
        unless_interposed: Option<String>,
    },
    /// In another module of the process, found by name when the patch is installed. An IFUNC is resolved by
    /// calling its resolver in the process.
    Import {
        /// Symbol version, e.g. `GLIBC_2.34`; none means the default version.
        version: Option<String>,
        /// May be missing; then its value is 0.
        weak: bool,
    },
    /// A number, whatever the load address.
    Absolute {
        /// The value.
        value: u64,
    },
}
