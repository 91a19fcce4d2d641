//! The patch file: model, encode, decode.
