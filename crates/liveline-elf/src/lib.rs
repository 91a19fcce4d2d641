//! What an ELF file says: symbols, sections, relocations, build-ids, unwind tables.
