//! One live process: its threads, memory and stacks, and calls into it. The only crate that touches another process.
