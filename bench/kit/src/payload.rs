//! Payloads: written in full, read in full, and known beforehand.
//!
//! Every system under test and every floor writes its payload with [`fill`] and reads it with [`sum`]: what differs
//! between two rows is then only how the bytes travelled. The pattern is an arithmetic progression of 64-bit words, so
//! the sum that the reader must find follows from seed and length alone ([`expected`]) and checking costs the reader no
//! second pass. A payload that was lost, repeated, torn or swapped with another has another sum.

/// The distance between two words of the pattern: the golden ratio of 2^64, odd, so that every bit of a word changes.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Bytes of a word of the pattern.
const WORD: usize = size_of::<u64>();

/// Words that are written and read in one turn: two vectors of the smallest common kind, so that short payloads pay for
/// no more set-up than one turn.
const TURN: usize = 4;

/// Writes the pattern of `seed` over all of `bytes`. A tail shorter than a word gets the first bytes of the next word.
#[inline]
pub fn fill(bytes: &mut [u8], seed: u64) {
    let mut value = seed;
    let (words, tail) = bytes.as_chunks_mut::<WORD>();
    let (turns, rest) = words.as_chunks_mut::<TURN>();
    for turn in turns {
        *turn = std::array::from_fn(|at| value.wrapping_add(STEP.wrapping_mul(at as u64)).to_le_bytes());
        value = value.wrapping_add(STEP.wrapping_mul(TURN as u64));
    }
    for word in rest {
        *word = value.to_le_bytes();
        value = value.wrapping_add(STEP);
    }
    if !tail.is_empty() {
        fill_tail(tail, value);
    }
}

/// Apart, because a copy of unknown length is a call that short payloads of whole words need not pay for.
#[inline(never)]
fn fill_tail(tail: &mut [u8], value: u64) {
    let len = tail.len();
    tail.copy_from_slice(&value.to_le_bytes()[..len]);
}

/// Reads all of `bytes` and adds up its words; a shorter tail counts as a word filled up with zeros.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<WORD>();
    let (turns, rest) = words.as_chunks::<TURN>();
    let mut totals = [0u64; TURN];
    for turn in turns {
        totals = std::array::from_fn(|at| totals[at].wrapping_add(u64::from_le_bytes(turn[at])));
    }
    let mut total = totals.into_iter().fold(0, u64::wrapping_add);
    for word in rest {
        total = total.wrapping_add(u64::from_le_bytes(*word));
    }
    if tail.is_empty() { total } else { total.wrapping_add(sum_tail(tail)) }
}

#[inline(never)]
fn sum_tail(tail: &[u8]) -> u64 {
    let mut last = [0; WORD];
    last[..tail.len()].copy_from_slice(tail);
    u64::from_le_bytes(last)
}

/// What [`sum`] finds in `len` bytes that [`fill`] wrote with `seed`.
#[inline]
pub fn expected(seed: u64, len: usize) -> u64 {
    let words = (len / WORD) as u64;
    debug_assert!(words <= 1 << 32, "the product below is exact up to payloads of 32 GiB");
    // 0 + 1 + ... + (words - 1).
    let steps = words * words.saturating_sub(1) / 2;
    let whole = words.wrapping_mul(seed).wrapping_add(STEP.wrapping_mul(steps));
    let tail_bits = (len % WORD) as u32 * 8;
    let next = seed.wrapping_add(STEP.wrapping_mul(words));
    whole.wrapping_add(next & ((1 << tail_bits) - 1))
}

/// The seed that [`fill`] was given, as the first word still shows it. Shorter payloads have none.
pub fn seed_of(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<WORD>().map(|word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_is_what_sum_finds_at_every_length() {
        for len in 0..300 {
            for seed in [0, 1, 7, u64::MAX, 0x0123_4567_89AB_CDEF] {
                let mut bytes = vec![0xA5; len];
                fill(&mut bytes, seed);
                assert_eq!(sum(&bytes), expected(seed, len), "length {len}, seed {seed}");
            }
        }
    }

    #[test]
    fn one_changed_byte_changes_the_sum() {
        let mut bytes = vec![0; 77];
        fill(&mut bytes, 5);
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            assert_ne!(sum(&bytes), expected(5, bytes.len()), "byte {at}");
            bytes[at] ^= 0x10;
        }
    }

    #[test]
    fn another_message_has_another_sum() {
        assert_ne!(expected(1, 32), expected(2, 32));
        assert_ne!(expected(1, 32), expected(1, 40));
    }

    #[test]
    fn the_seed_can_be_read_back() {
        let mut bytes = [0; 24];
        fill(&mut bytes, 0xFEED);
        assert_eq!(seed_of(&bytes), Some(0xFEED));
        assert_eq!(seed_of(&bytes[..7]), None);
    }
}
