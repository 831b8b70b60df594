//! Which secrets are none.
//!
//! Nobody can say that a text is random; but what people write instead can be told from what a generator writes. It
//! repeats itself, or follows the alphabet or the keyboard, or was copied from an example.

use std::collections::BTreeSet;

/// What HS256 needs at least (RFC 7518 section 3.2), in bytes.
pub(super) const SIGNING_MIN_BYTES: usize = 32;

/// The TURN servers have the same secret, often for longer than there is a Streamz: what they take is not refused for a
/// length that only HS256 asks for. But each user holds a credential that was made from it, and may guess at home.
pub(super) const TURN_MIN_BYTES: usize = 16;

/// What examples, templates and tired people write, in lower case without separators. All are long enough
/// that a random secret does not contain one by chance.
const DEFAULTS: &[&str] = &[
    // The examples of jwt.io, old and new, and their relatives.
    "256bitsecret",
    "384bitsecret",
    "512bitsecret",
    "stringsecret",
    "256bitslong",
    "characterslong",
    "atleast32",
    // Of frameworks and TURN servers.
    "keyboardcat",
    "shhhhh",
    "staticauthsecret",
    "correcthorsebatterystaple",
    "changeme",
    "changethis",
    "changein",
    "replaceme",
    "replacethis",
    "yoursecret",
    "yourjwt",
    "mysecret",
    "thisisa",
    "secretkey",
    "secrettoken",
    "supersecret",
    "jwtsecret",
    "turnsecret",
    "topsecret",
    "notsecret",
    "password",
    "letmein",
    "example",
    "placeholder",
    "development",
    "streamz",
    "insecure",
    "default",
    "deadbeef",
    "loremipsum",
];

/// Along these the fingers and the alphabet go, in both directions.
const LINES: &[&[u8]] = &[
    b"0123456789abcdefghijklmnopqrstuvwxyz",
    b"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    b"01234567890123456789",
    b"1234567890qwertyuiopasdfghjklzxcvbnm",
    b"qwertzuiopasdfghjklyxcvbnm",
    b"azertyuiopqsdfghjklmwxcvbn",
    b"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    b"qazwsxedcrfvtgbyhnujmikolp",
];

/// Why a secret that needs `least` bytes is weak, in the words that follow "it"; None if nothing speaks against it.
pub(super) fn weakness(secret: &str, least: usize) -> Option<String> {
    if secret.len() < least {
        return Some(format!("has {} bytes and needs at least {least}", secret.len()));
    }
    let plain: String = secret.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let letters: String = secret.chars().map(letter).filter(char::is_ascii_lowercase).collect();
    if DEFAULTS.iter().any(|default| plain.contains(default) || letters.contains(default)) {
        return Some("looks like the default of an example".to_owned());
    }
    // 32 random hexadecimal digits have 14 different ones on average, and practically never fewer than 8.
    if secret.bytes().collect::<BTreeSet<_>>().len() < least / 4 {
        return Some("repeats a few characters".to_owned());
    }
    // Practically every byte of a random secret is news.
    if news(secret.to_ascii_lowercase().as_bytes()) < least * 5 / 8 {
        return Some("repeats itself, or follows the alphabet or the keyboard".to_owned());
    }
    None
}

/// `P@55w0rd` means `password`.
fn letter(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        c => c.to_ascii_lowercase(),
    }
}

/// Shorter ones happen by chance.
const RUN_MIN: usize = 4;
/// Of two runs that take turns, together.
const TURNS_MIN: usize = 6;

/// How much of a text cannot be told from what stands before it: a repetition counts as one, and so does a run along a
/// line, or along two in turns (`a1b2c3…`).
fn news(text: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let again = (0..at).map(|before| common(&text[before..], rest)).max().unwrap_or(0);
        let run = along(rest.iter().copied());
        // As long as the shorter of the two goes on.
        let turns =
            2 * along(rest.iter().copied().step_by(2)).min(along(rest.iter().skip(1).copied().step_by(2)));
        let known = [(again, RUN_MIN), (run, RUN_MIN), (turns, TURNS_MIN)];
        let known =
            known.into_iter().filter(|(length, least)| length >= least).map(|(length, _)| length).max();
        at += known.unwrap_or(1);
        count += 1;
    }
    count
}

/// How far two texts are the same.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// How far a text follows one of the lines.
fn along(text: impl Iterator<Item = u8> + Clone) -> usize {
    let mut start = text.clone();
    let (Some(first), Some(second)) = (start.next(), start.next()) else { return 0 };
    if !are_neighbours(first, second) {
        return 0;
    }
    let follows = |line: &mut dyn Iterator<Item = u8>| {
        text.clone().zip(line).take_while(|(wanted, there)| wanted == there).count()
    };
    let mut most = 0;
    for line in LINES {
        for (at, _) in line.iter().enumerate().filter(|(_, there)| **there == first) {
            let forth = follows(&mut line[at..].iter().copied());
            let back = follows(&mut line[..=at].iter().rev().copied());
            most = most.max(forth).max(back);
        }
    }
    most
}

/// Of each byte, a bit for each that stands beside it on some line: few texts have to be looked at more closely.
const NEIGHBOURS: [u128; 128] = {
    let mut table = [0; 128];
    let mut line = 0;
    while line < LINES.len() {
        let mut at = 1;
        while at < LINES[line].len() {
            let (a, b) = (LINES[line][at - 1], LINES[line][at]);
            table[a as usize] |= 1 << b;
            table[b as usize] |= 1 << a;
            at += 1;
        }
        line += 1;
    }
    table
};

fn are_neighbours(a: u8, b: u8) -> bool {
    NEIGHBOURS.get(usize::from(a)).is_some_and(|beside| b < 128 && beside >> b & 1 == 1)
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
