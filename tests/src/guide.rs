//! The programs in the guide compile and run, as examples of documentation.

macro_rules! pages {
    ($($name:ident: $file:literal,)*) => {
        /// The files of the guide whose programs are run.
        pub const PAGES: &[&str] = &[$($file),*];
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../docs/src/", $file))]
            pub struct $name;
        )*
    };
}

pages! {
    GettingStarted: "getting-started.md",
    Embedding: "embedding.md",
    Interruption: "interruption.md",
    Async: "async.md",
    Strategies: "strategies.md",
    Debugging: "debugging.md",
    PreInitialisation: "pre-initialisation.md",
    Porting: "porting.md",
    SmallLoader: "small-loader.md",
}
