//! Which segments exist at run time.
//!
//! Active segments whose contents are known are part of an image; nothing is
//! left of them but that they count as dropped. A program can have a hundred
//! thousand of those, so all of them share one row, which is dropped from the
//! start, and the others have a row each.

/// Rows of the segments of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentRows {
    rows: Vec<u32>,
    kept: Vec<u32>,
    any_dropped: bool,
}

impl SegmentRows {
    /// From whether each segment is dropped from the start.
    pub(super) fn new(dropped: impl IntoIterator<Item = bool>) -> Self {
        let dropped: Vec<bool> = dropped.into_iter().collect();
        let kept: Vec<u32> = (0..dropped.len() as u32).filter(|segment| !dropped[*segment as usize]).collect();
        let shared = kept.len() as u32;
        let mut next = 0..;
        let rows =
            dropped.iter().map(|dropped| if *dropped { shared } else { next.next().unwrap_or(shared) }).collect();
        SegmentRows { rows, kept, any_dropped: dropped.contains(&true) }
    }

    /// The row of a segment.
    pub fn row(&self, segment: u32) -> u32 {
        self.rows[segment as usize]
    }

    /// The segments with a row of their own, in row order.
    pub fn kept(&self) -> &[u32] {
        &self.kept
    }

    /// Whether there is a row for dropped segments, after the others.
    pub fn any_dropped(&self) -> bool {
        self.any_dropped
    }

    /// Number of rows.
    pub fn count(&self) -> u32 {
        self.kept.len() as u32 + u32::from(self.any_dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_segments_share_the_last_row() {
        let rows = SegmentRows::new([true, false, true, false]);
        assert_eq!((0..4).map(|s| rows.row(s)).collect::<Vec<_>>(), [2, 0, 2, 1]);
        assert_eq!((rows.kept(), rows.count()), ([1, 3].as_slice(), 3));
        assert_eq!(SegmentRows::new([false]).count(), 1);
        assert_eq!(SegmentRows::new([]).count(), 0);
    }
}
