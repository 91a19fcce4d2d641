//! Damage to bytes.

use crate::random::Random;

/// Inputs do not grow beyond this many bytes.
const LARGEST: usize = 64 << 10;

/// Bytes from the start that are damaged more often than others.
const FRONT: usize = 1024;

/// Values at which arithmetic goes wrong.
const INTERESTING: [u64; 22] = [
    0,
    1,
    2,
    4,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x1000,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 47,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 7,
    u64::MAX,
];

/// Damages `bytes` in one to several places; `pool` is what pieces are taken from.
pub(crate) fn mutate(random: &mut Random, bytes: &mut Vec<u8>, pool: &[Vec<u8>]) {
    loop {
        once(random, bytes, pool);
        if random.one_in(2) {
            break;
        }
    }
    bytes.truncate(LARGEST);
}

fn once(random: &mut Random, bytes: &mut Vec<u8>, pool: &[Vec<u8>]) {
    let length = bytes.len();
    if length == 0 {
        bytes.push(random.next() as u8);
        return;
    }
    let at = place(random, length);
    match random.below(16) {
        0..=2 => bytes[at] ^= 1 << random.below(8),
        3 | 4 => bytes[at] = random.next() as u8,
        5..=8 => interesting(random, bytes),
        9 => bytes.truncate(at),
        10 => splice(random, bytes, pool),
        11 => swap(random, bytes),
        12 => {
            let end = (at + 1 + random.below(16)).min(length);
            bytes.drain(at..end);
        }
        13 => {
            let end = (at + 1 + random.below(64)).min(length);
            let copy = bytes[at..end].to_vec();
            let to = random.below(length);
            bytes.splice(to..to, copy);
        }
        14 => add(random, bytes),
        _ => {
            let end = (at + 1 + random.below(32)).min(length);
            let value = *random.pick(&[0, 0xff, b'A', 0x80]).unwrap_or(&0);
            bytes[at..end].fill(value);
        }
    }
}

/// Where to damage: one time in four near the front, where formats keep their tables. Evenly spread, it took
/// thirty times as long until two fields of one program header were wrong together.
fn place(random: &mut Random, length: usize) -> usize {
    let reach = if random.one_in(4) { length.min(FRONT) } else { length };
    random.below(reach)
}

/// Width of a field and an aligned place for it.
fn field(random: &mut Random, length: usize) -> (usize, usize) {
    let width = 1 << random.below(4);
    (width, place(random, length) & !(width - 1))
}

fn interesting(random: &mut Random, bytes: &mut [u8]) {
    let (width, at) = field(random, bytes.len());
    // The file's own length is where bounds are.
    let value = match random.below(24) {
        0 => bytes.len() as u64,
        1 => (bytes.len() - at) as u64,
        other => INTERESTING[other - 2],
    };
    let value = value.wrapping_add(random.below(3) as u64).wrapping_sub(1);
    for (byte, new) in bytes[at..].iter_mut().zip(&value.to_le_bytes()[..width]) {
        *byte = *new;
    }
}

fn add(random: &mut Random, bytes: &mut [u8]) {
    let (width, at) = field(random, bytes.len());
    let Some(field) = bytes.get_mut(at..at + width) else { return };
    let mut word = [0; 8];
    word[..width].copy_from_slice(field);
    let sum = u64::from_le_bytes(word).wrapping_add(random.below(64) as u64).wrapping_sub(32);
    field.copy_from_slice(&sum.to_le_bytes()[..width]);
}

fn splice(random: &mut Random, bytes: &mut Vec<u8>, pool: &[Vec<u8>]) {
    let Some(other) = random.pick(pool).filter(|other| !other.is_empty()) else { return };
    let at = random.below(bytes.len());
    if random.one_in(2) {
        // The head of one, the tail of the other, in place.
        bytes.truncate(at);
        bytes.extend_from_slice(other.get(at..).unwrap_or_default());
    } else {
        let from = random.below(other.len());
        let piece = &other[from..(from + 1 + random.below(256)).min(other.len())];
        let end = (at + piece.len()).min(bytes.len());
        bytes.splice(at..end, piece.iter().copied());
    }
}

/// Exchanges two blocks of the same size.
fn swap(random: &mut Random, bytes: &mut [u8]) {
    let size = *random.pick(&[1, 2, 4, 8, 16, 24, 64]).unwrap_or(&8);
    let places = bytes.len() / size;
    let (first, second) = (random.below(places) * size, random.below(places) * size);
    if places != 0 {
        for index in 0..size {
            bytes.swap(first + index, second + index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_repeatable_bounded_and_real() {
        let pool = vec![vec![7; 300], (0..=255).collect::<Vec<u8>>()];
        let mut different = 0;
        for number in 0..5000 {
            let make = |length: usize| {
                let mut bytes = vec![0x55; length];
                mutate(&mut Random::new(1, number), &mut bytes, &pool);
                bytes
            };
            let length = number as usize % 200;
            assert_eq!(make(length), make(length));
            assert!(make(LARGEST).len() <= LARGEST);
            different += usize::from(make(length) != vec![0x55; length]);
        }
        assert!(different > 4500, "{different}");
    }
}
