//! Guests in a library, which the program depends on.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

wasmc_loader::include_module!(plugin);
wasmc_loader::include_module!(everything);
wasmc_loader::include_module!(names);
