//! Numbered frames: what is sent says which it is, so that whoever receives knows whether one is missing or damaged.

/// The type id of frame `number`.
#[must_use]
pub fn type_id(number: u64) -> u32 {
    number as u32
}

/// Byte `at` of frame `number`: another in every frame and at every place.
fn byte(number: u64, at: usize) -> u8 {
    (number.wrapping_mul(31) as u8) ^ (at as u8).wrapping_mul(7) ^ ((at >> 8) as u8)
}

/// Writes the payload of frame `number` over all of `out`.
pub fn fill(number: u64, out: &mut [u8]) {
    for (at, place) in out.iter_mut().enumerate() {
        *place = byte(number, at);
    }
}

/// The payload of frame `number`, `len` bytes long.
#[must_use]
pub fn payload(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(number, &mut bytes);
    bytes
}

/// Whether this is frame `number`, undamaged.
#[must_use]
pub fn is(number: u64, type_id: u32, payload: &[u8]) -> bool {
    type_id == self::type_id(number) && payload.iter().enumerate().all(|(at, &found)| found == byte(number, at))
}
