//! Programs: real ones with the output they are known for, large ones that
//! only have to compile and to be instantiated, and generated ones that an

mod build;
mod carried;
mod cases;
mod corpus_modules;
mod corpus_programs;
mod differential;
mod interpreter;
mod libraries;
mod native;
mod sides;
mod sightglass;
mod wasi;
