//! Makes the bytes of a finding fewer and simpler, as long as it stays one.

/// Shortens and simplifies `bytes` while `fails` holds, which it does at the
/// start.
///
/// Generators make the simplest decision where bytes are 0 or missing, so a
/// shorter string with more zeros is a smaller module.
pub fn reduce(mut bytes: Vec<u8>, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    loop {
        let before = bytes.clone();
        shorten(&mut bytes, &mut fails);
        remove(&mut bytes, &mut fails);
        clear(&mut bytes, &mut fails);
        if bytes == before {
            return bytes;
        }
    }
}

/// Cuts the end off.
fn shorten(bytes: &mut Vec<u8>, fails: &mut impl FnMut(&[u8]) -> bool) {
    let mut cut = bytes.len() / 2;
    while cut > 0 {
        if cut <= bytes.len() && fails(&bytes[..bytes.len() - cut]) {
            bytes.truncate(bytes.len() - cut);
        } else {
            cut /= 2;
        }
    }
}

/// Takes parts out.
fn remove(bytes: &mut Vec<u8>, fails: &mut impl FnMut(&[u8]) -> bool) {
    let mut size = bytes.len() / 4;
    while size > 0 {
        let mut at = 0;
        while at + size <= bytes.len() {
            let mut candidate = bytes.clone();
            candidate.drain(at..at + size);
            if fails(&candidate) {
                *bytes = candidate;
            } else {
                at += size;
            }
        }
        size /= 4;
    }
}

/// Replaces parts by zeros.
fn clear(bytes: &mut Vec<u8>, fails: &mut impl FnMut(&[u8]) -> bool) {
    let mut size = bytes.len() / 4;
    while size > 0 {
        let mut at = 0;
        while at < bytes.len() {
            let end = (at + size).min(bytes.len());
            if bytes[at..end].iter().any(|byte| *byte != 0) {
                let mut candidate = bytes.clone();
                candidate[at..end].fill(0);
                if fails(&candidate) {
                    *bytes = candidate;
                }
            }
            at = end;
        }
        size /= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::reduce;

    #[test]
    fn what_matters_stays_and_the_rest_goes() {
        let bytes: Vec<u8> = (0..200).collect();
        let reduced = reduce(bytes, |bytes| bytes.contains(&77) && bytes.len() > 10);
        assert_eq!(reduced.len(), 11);
        assert!(reduced.contains(&77) && reduced.iter().filter(|byte| **byte != 0).count() == 1);
    }
}
