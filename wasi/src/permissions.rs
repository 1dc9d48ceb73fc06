//! What a guest may do beneath a preopened folder.

bitflags::bitflags! {
    /// What a guest may do with the folders beneath a preopened one.
    #[derive(Copy, Clone, Debug, PartialEq, Eq)]
    pub struct DirPerms: u8 {
        /// List folders and look at the metadata of their entries.
        const READ = 0b1;
        /// Create, rename, link and remove entries, and set their times.
        const MUTATE = 0b10;
    }
}

bitflags::bitflags! {
    /// What a guest may do with the files beneath a preopened folder.
    #[derive(Copy, Clone, Debug, PartialEq, Eq)]
    pub struct FilePerms: u8 {
        /// Open files for reading.
        const READ = 0b1;
        /// Open files for writing, truncate them and set their times.
        const WRITE = 0b10;
    }
}
