//! Names, and what a linker has defined under them.

use crate::error::{Error, Result};
use crate::linking::Provided;

/// What is defined under names of two parts, in the order of definition.
#[derive(Clone, Default)]
pub(crate) struct Names {
    /// The type of a memory or table is that of the time when it was defined.
    entries: Vec<Entry>,
    /// Numbers of the entries, in the order of their names.
    sorted: Vec<u32>,
}

#[derive(Clone)]
struct Entry {
    module: Box<str>,
    name: Box<str>,
    provided: Provided,
}

impl Names {
    /// Where an entry is in the order, or where it would have to be.
    fn place(&self, module: &str, name: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|number| {
            let known = self.entries.get(*number as usize).map(|entry| (&*entry.module, &*entry.name));
            known.cmp(&Some((module, name)))
        })
    }

    /// What is defined under a name.
    pub(crate) fn find(&self, module: &str, name: &str) -> Option<&Provided> {
        let number = *self.sorted.get(self.place(module, name).ok()?)?;
        Some(&self.entries.get(number as usize)?.provided)
    }

    /// Defines a name.
    ///
    /// # Errors
    /// If it is defined already, unless it may be `shadowed`.
    pub(crate) fn define(&mut self, module: &str, name: &str, provided: Provided, shadowed: bool) -> Result<()> {
        match self.place(module, name) {
            Ok(place) if shadowed => self.entries[self.sorted[place] as usize].provided = provided,
            Ok(_) => {
                return Err(Error::msg(format!(
                    "`{name}` of `{module}` is defined already; with `allow_shadowing` it can be defined anew"
                )));
            }
            Err(place) => {
                self.sorted.insert(place, self.entries.len() as u32);
                self.entries.push(Entry { module: module.into(), name: name.into(), provided });
            }
        }
        Ok(())
    }

    /// All names with what is defined under them.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str, &Provided)> {
        self.entries.iter().map(|entry| (&*entry.module, &*entry.name, &entry.provided))
    }

    /// All names of a module, with what is defined under them.
    pub(crate) fn of_module(&self, module: &str) -> Vec<(Box<str>, Provided)> {
        let own = self.entries.iter().filter(|entry| *entry.module == *module);
        own.map(|entry| (entry.name.clone(), entry.provided.clone())).collect()
    }
}
