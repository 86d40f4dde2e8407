//! The cost of opening a file: key derivation rounds and memory, counted before any work is done.
//!
//! The file itself sets the number of hash rounds, so a tiny file can demand days of work. The search follows DER, also
//! inside octet strings, so that it finds the parameters wherever PKCS#8 and PKCS#12 have them.

use crate::error::Error;

/// The most rounds of key derivation in one file, all keys and safes together. OpenSSL does 2048 for each, OWASP
/// recommends 600,000.
const MOST_ROUNDS: u64 = 10_000_000;
/// The most memory for scrypt (RFC 7914: 128 * N * r), in bytes; OpenSSL needs 16 MiB.
const MOST_MEMORY: u64 = 256 * 1024 * 1024;
/// The most work of scrypt (128 * N * r * p), in bytes.
const MOST_SCRYPT: u64 = 1024 * 1024 * 1024;
/// How deep structures may be nested; PKCS#12 needs about 15.
const DEEPEST: usize = 32;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const IS_CONSTRUCTED: u8 = 0x20;

/// PBKDF2 and PBES1 (RFC 8018 appendix A): 1.2.840.113549.1.5.
const PKCS5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
/// The schemes of RFC 7292 appendix C: 1.2.840.113549.1.12.1.
const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
/// scrypt (RFC 7914 section 7): 1.3.6.1.4.1.11591.4.11.
const SCRYPT: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];

/// The remaining budget for a file.
pub struct Budget {
    rounds: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            rounds: MOST_ROUNDS,
        }
    }
}

impl Budget {
    /// Counts what the key derivations in this DER would cost.
    ///
    /// # Errors It exceeds the budget for a file, or scrypt's parameters are impossible; the error has the number.
    pub fn spend(&mut self, der: &[u8]) -> Result<(), Error> {
        self.spend_mac(der)?;
        self.walk(der, 0)
    }

    /// The third member of a PKCS#12 file (RFC 7292 section 4: `MacData`): digest, salt, rounds.
    fn spend_mac(&mut self, der: &[u8]) -> Result<(), Error> {
        let members = |der| Elements(der).next().map(|file| Elements(file.content));
        let Some(mac) = members(der).and_then(|mut file| file.nth(2)) else {
            return Ok(());
        };
        match Elements(mac.content).nth(2) {
            Some(rounds) if rounds.tag == INTEGER => self.spend_rounds(rounds.number()),
            _ => Ok(()),
        }
    }

    fn walk(&mut self, der: &[u8], depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::input(
                "is nested too deeply to be a certificate file",
            ));
        }
        let mut scheme: &[u8] = &[];
        for element in Elements(der) {
            if element.tag == SEQUENCE && !scheme.is_empty() {
                self.spend_scheme(scheme, element.content)?;
            }
            scheme = match element.tag {
                OBJECT_IDENTIFIER => element.content,
                _ => &[],
            };
            if element.tag & IS_CONSTRUCTED != 0 || element.tag == OCTET_STRING {
                self.walk(element.content, depth + 1)?;
            }
        }
        Ok(())
    }

    fn spend_scheme(&mut self, scheme: &[u8], parameters: &[u8]) -> Result<(), Error> {
        let mut numbers = Elements(parameters)
            .filter(|element| element.tag == INTEGER)
            .map(|element| element.number());
        if scheme == SCRYPT {
            let mut next = || numbers.next().unwrap_or_default();
            check_scrypt(next(), next(), next())
        } else if scheme.starts_with(PKCS12_PBE) || scheme.starts_with(PKCS5) {
            self.spend_rounds(numbers.next().unwrap_or_default())
        } else {
            Ok(())
        }
    }

    fn spend_rounds(&mut self, rounds: u64) -> Result<(), Error> {
        match self.rounds.checked_sub(rounds) {
            Some(left) => {
                self.rounds = left;
                Ok(())
            }
            None => Err(Error::input(format!(
                "asks for {rounds} rounds of key derivation; at most {MOST_ROUNDS} are done for one file"
            ))),
        }
    }
}

/// Cost, block size and parallelism of scrypt (RFC 7914 section 2).
fn check_scrypt(n: u64, r: u64, p: u64) -> Result<(), Error> {
    if n < 2 || !n.is_power_of_two() || r == 0 || p == 0 {
        return Err(Error::input(format!(
            "has impossible scrypt parameters: N={n}, r={r}, p={p}"
        )));
    }
    let memory = n.saturating_mul(r).saturating_mul(128);
    if memory > MOST_MEMORY || memory.saturating_mul(p) > MOST_SCRYPT {
        return Err(Error::input(format!(
            "has a key whose scrypt parameters are too costly: N={n}, r={r}, p={p}"
        )));
    }
    Ok(())
}

/// One element of DER: a tag and a content (X.690 section 8.1).
struct Element<'d> {
    tag: u8,
    content: &'d [u8],
}

impl Element<'_> {
    /// An INTEGER's value; what does not fit, or is negative, counts as the largest.
    fn number(&self) -> u64 {
        let digits = self.content;
        let digits = &digits[digits.iter().take_while(|byte| **byte == 0).count()..];
        if digits.len() > 8 || self.content.first().is_some_and(|byte| *byte >= 0x80) {
            return u64::MAX;
        }
        digits
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }
}

/// The consecutive elements in DER, up to the first incomplete one.
struct Elements<'d>(&'d [u8]);

impl<'d> Iterator for Elements<'d> {
    type Item = Element<'d>;

    fn next(&mut self) -> Option<Element<'d>> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(*first) {
            short @ 0..=0x7f => (short, rest),
            long => {
                let digits = rest.get(..long & 0x7f).filter(|digits| digits.len() <= 4)?;
                let length = digits
                    .iter()
                    .fold(0, |length, byte| (length << 8) | usize::from(*byte));
                (length, &rest[digits.len()..])
            }
        };
        let content = rest.get(..length)?;
        self.0 = &rest[length..];
        Some(Element { tag: *tag, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[tag, 0x82][..], &length, &content].concat()
    }

    fn number(value: u64) -> Vec<u8> {
        element(INTEGER, &[&[0], &value.to_be_bytes()])
    }

    fn scheme(oid: &[u8], numbers: &[u64]) -> Vec<u8> {
        let salt = element(OCTET_STRING, &[b"salt"]);
        let numbers: Vec<u8> = numbers.iter().flat_map(|value| number(*value)).collect();
        let parameters = element(SEQUENCE, &[&salt, &numbers]);
        let algorithm = element(
            SEQUENCE,
            &[&element(OBJECT_IDENTIFIER, &[oid]), &parameters],
        );
        // Inside an octet string, as in PKCS#12.
        element(SEQUENCE, &[&element(OCTET_STRING, &[&algorithm])])
    }

    fn refusal(der: &[u8]) -> Option<String> {
        Budget::default()
            .spend(der)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn costly_key_derivation_is_refused_with_its_number_before_the_work() {
        let pbkdf2 = [PKCS5, &[12]].concat();
        let pbe = [PKCS12_PBE, &[3]].concat();
        for (oid, rounds) in [
            (&pbkdf2, 100_000_000),
            (&pbe, 1 << 31),
            (&pbe, u64::MAX),
            (&[PKCS5, &[3]].concat(), 10_000_001),
        ] {
            let refusal = refusal(&scheme(oid, &[rounds])).expect("too many rounds");
            assert!(refusal.contains(&rounds.to_string()), "{refusal}");
        }
        assert_eq!(refusal(&scheme(&pbkdf2, &[10_000_000])), None);
        let twice = [scheme(&pbkdf2, &[6_000_000]), scheme(&pbe, &[6_000_000])].concat();
        let refused = refusal(&element(SEQUENCE, &[&twice])).expect("both together");
        assert!(refused.contains("6000000"), "{refused}");
    }

    #[test]
    fn a_mac_counts_too() {
        let mac = element(
            SEQUENCE,
            &[
                &element(SEQUENCE, &[]),
                &element(OCTET_STRING, &[b"s"]),
                &number(1 << 31),
            ],
        );
        let file = element(SEQUENCE, &[&number(3), &element(SEQUENCE, &[]), &mac]);
        let refused = refusal(&file).expect("too many rounds");
        assert!(refused.contains("2147483648"), "{refused}");
    }

    #[test]
    fn impossible_or_costly_scrypt_is_refused_with_its_parameters() {
        for numbers in [
            [0, 8, 1],
            [3, 8, 1],
            [1 << 40, 8, 1],
            [16384, 8, 1 << 20],
            [2, 0, 1],
            [2, 1 << 60, 1],
        ] {
            let refused = refusal(&scheme(SCRYPT, &numbers)).expect("too costly");
            let expected = format!("N={}, r={}, p={}", numbers[0], numbers[1], numbers[2]);
            assert!(refused.contains(&expected), "{refused}");
        }
        assert_eq!(refusal(&scheme(SCRYPT, &[16384, 8, 1])), None);
    }

    #[test]
    fn nesting_has_an_end() {
        let mut der = element(SEQUENCE, &[]);
        for _ in 0..100 {
            der = element(SEQUENCE, &[&der]);
        }
        assert!(
            refusal(&der)
                .expect("too deep")
                .contains("nested too deeply")
        );
    }
}
