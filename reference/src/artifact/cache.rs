//! Things made from artifacts, found again by content.
//!
//! A plain value that somebody owns: no globals, no threads of its own, a stated capacity. When
//! it is full the entry that was asked for longest ago goes. The source's caches hang on threads,
//! are keyed by addresses and never let go of anything (seed 002, lines 1960-1995).
use super::Generation;
use crate::invalid::Invalid;
use std::collections::VecDeque;

/// At most `capacity` values, one a generation.
#[derive(Clone, Debug)]
pub struct Cache<V> {
    capacity: usize,
    /// The one asked for last at the back.
    entries: VecDeque<(Generation, V)>,
}

impl<V> Cache<V> {
    /// An empty cache. A `capacity` of 0 is an error.
    pub fn new(capacity: usize) -> Result<Cache<V>, Invalid> {
        Invalid::check_range("capacity", capacity, (1, usize::MAX))?;
        Ok(Cache { capacity, entries: VecDeque::new() })
    }

    /// What was made for this content, or what `make` makes of it now.
    pub fn get_or_make(&mut self, generation: Generation, make: impl FnOnce() -> V) -> &V {
        let found = self.entries.iter().position(|(key, _)| *key == generation);
        let entry = match found.and_then(|at| self.entries.remove(at)) {
            Some(entry) => entry,
            None => (generation, make()),
        };
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        &self.entries[self.entries.len() - 1].1
    }

    /// Entries held now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// Entries held at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_lets_the_longest_unasked_entry_go() {
        let mut cache = Cache::new(2).unwrap();
        let mut made = Vec::new();
        for key in [1, 2, 1, 3, 1, 2] {
            let value = *cache.get_or_make(Generation(key), || {
                made.push(key);
                10 * key
            });
            assert_eq!(value, 10 * key);
            assert!(cache.len() <= cache.capacity());
        }
        // 2 went when 3 came, since 1 had been asked for after it.
        assert_eq!(made, [1, 2, 3, 2]);
        assert!(!cache.is_empty());
        assert_eq!(Cache::<u8>::new(0).unwrap_err().field, "capacity");
    }
}
