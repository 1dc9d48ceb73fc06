//! Files without a name, so that bytes can be mapped like an artifact's file.

use super::system::{create_unnamed, seal};
use std::fs::File;
use std::io::{self, Read, Write};

/// Bytes that are copied at a time.
const PART: usize = 256 << 10;

/// A file with this content that nobody else can open. On Linux it is sealed:
/// nobody can change it any more, this process included.
///
/// # Errors
/// If there is no room for it, or the system refuses; the message says where.
pub(crate) fn anonymous_file(content: &[u8]) -> io::Result<File> {
    filled(content.len() as u64, |file| file.write_all(content))
}

/// A file as [`anonymous_file`] makes, with what can be read from `source`
/// from its current position on.
///
/// # Errors
/// As for [`anonymous_file`]; also if `source` cannot be read.
pub(crate) fn anonymous_copy(source: &File) -> io::Result<File> {
    filled(source.metadata()?.len(), |file| {
        let (mut source, mut part) = (source, vec![0; PART]);
        loop {
            match source.read(&mut part) {
                Ok(0) => return Ok(()),
                Ok(length) => file.write_all(&part[..length])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    })
}

fn filled(length: u64, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<File> {
    let mut file = create_unnamed()?;
    fill(&mut file)
        .and_then(|()| seal(&file))
        .map_err(|e| io::Error::new(e.kind(), format!("cannot fill a file without a name with {length} bytes: {e}")))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;
    use std::os::unix::fs::FileExt;

    fn content(file: &File) -> Vec<u8> {
        let mut content = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut content, 0).unwrap();
        content
    }

    #[test]
    fn an_anonymous_file_has_the_content_it_was_given() {
        for length in [0, 1, 4096, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mut file = anonymous_file(&bytes).unwrap();
            assert_eq!(content(&file), bytes);
            file.rewind().unwrap();
            assert_eq!(content(&anonymous_copy(&file).unwrap()), bytes);
        }
    }

    #[test]
    fn an_error_says_what_failed_and_for_how_much() {
        let error = filled(5, |_| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("5 bytes"), "{error}");
    }
}
