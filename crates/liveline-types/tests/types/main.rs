//! Small sources in two versions, compiled by what is installed, and what the comparison says of their types.

mod c;
mod compilers;
mod cpp;
mod damage;
mod rust;
