//! An inbox: messages of one length out of a stream of bytes, as many at a time as one call to the kernel brings.

use std::io::{ErrorKind, Read};

use anyhow::Result;

use crate::kernel::{failed, gone};

/// Bytes that are asked for at once, where messages are short enough for more than one.
const AT_ONCE: usize = 64 << 10;

/// Bytes that were read and not yet taken.
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    len: usize,
}

impl Inbox {
    /// For messages of `len` bytes. Of those that fill more than half of what is asked for at once there is never a part of
    /// a second one, which would have to be moved.
    pub(crate) fn new(len: usize) -> Self {
        let size = if 2 * len <= AT_ONCE { AT_ONCE } else { len };
        Self { buffer: vec![0; size], from: 0, to: 0, len }
    }

    /// Waits for a message and hands it to `read`.
    #[inline]
    pub(crate) fn take<T>(&mut self, source: &mut impl Read, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        self.fill(source)?;
        Ok(self.next(read))
    }

    /// Waits for a message and hands it, and all that came with it, to `each`.
    #[inline]
    pub(crate) fn take_all(&mut self, source: &mut impl Read, each: &mut impl FnMut(&[u8])) -> Result<()> {
        self.fill(source)?;
        while self.to - self.from >= self.len {
            self.next(&mut *each);
        }
        Ok(())
    }

    #[inline]
    fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> T {
        let message = &self.buffer[self.from..self.from + self.len];
        self.from += self.len;
        read(message)
    }

    /// Reads until there is a whole message. A source that does not block is asked again and again.
    #[inline]
    fn fill(&mut self, source: &mut impl Read) -> Result<()> {
        if self.to - self.from >= self.len {
            return Ok(());
        }
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        while self.to < self.len {
            match source.read(&mut self.buffer[self.to..]) {
                Ok(0) => return Err(gone()),
                Ok(read) => self.to += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out so many bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let most = self.1;
            let most = into.len().min(most);
            self.0.read(&mut into[..most])
        }
    }

    #[test]
    fn messages_come_whole_however_the_bytes_do() {
        let bytes: Vec<u8> = (0..=255).cycle().take(24 * 50).collect();
        for step in [1, 7, 24, 25, 1000] {
            let (mut inbox, mut source, mut seen) = (Inbox::new(24), Drip(&bytes, step), Vec::new());
            inbox.take(&mut source, |message| seen.extend_from_slice(message)).unwrap();
            while seen.len() < bytes.len() {
                let before = seen.len();
                inbox.take_all(&mut source, &mut |message| seen.extend_from_slice(message)).unwrap();
                assert_eq!((seen.len() - before) % 24, 0);
            }
            assert_eq!(seen, bytes, "in steps of {step}");
            assert!(inbox.take(&mut source, |_| ()).is_err(), "the source has ended");
        }
    }

    #[test]
    fn a_long_message_never_has_a_part_of_the_next_behind_it() {
        let bytes = vec![3; 2 * AT_ONCE];
        let mut inbox = Inbox::new(AT_ONCE);
        let mut source = &bytes[..];
        inbox.take(&mut source, |message| assert_eq!(message.len(), AT_ONCE)).unwrap();
        assert_eq!((inbox.from, inbox.to), (AT_ONCE, AT_ONCE));
    }
}
