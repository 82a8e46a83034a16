//! How a deadline is written into a header: as the time that is left.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::HttpBuildError;

static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const HTTP_TIMEOUT: HeaderName = HeaderName::from_static("hedgerow-timeout-ms");
/// gRPC allows eight digits.
const MOST: u64 = 99_999_999;
/// As many digits of milliseconds are read: more is three centuries.
const MOST_DIGITS: usize = 13;
const NANOS: [(u128, char); 6] = [
    (1, 'n'),
    (1_000, 'u'),
    (1_000_000, 'm'),
    (1_000_000_000, 'S'),
    (60_000_000_000, 'M'),
    (3_600_000_000_000, 'H'),
];

/// The header that tells how long the caller still waits.
///
/// Clocks differ, so it is never an instant that travels. What is left is rounded down: nobody is told
/// more than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineHeader(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Grpc,
    Millis(HeaderName),
}

impl DeadlineHeader {
    /// `grpc-timeout`, as gRPC has it: up to eight digits and a unit, such as `250m`.
    #[must_use]
    pub const fn grpc() -> Self {
        Self(Kind::Grpc)
    }

    /// `hedgerow-timeout-ms`: a whole number of milliseconds.
    #[must_use]
    pub const fn http() -> Self {
        Self(Kind::Millis(HTTP_TIMEOUT))
    }

    /// A header of your own: a whole number of milliseconds, as Envoy has it in
    /// `x-envoy-expected-rq-timeout-ms`.
    ///
    /// # Panics
    ///
    /// If it is no name of a header: [`try_named`](Self::try_named) returns the reason.
    #[must_use]
    #[track_caller]
    pub fn named(name: &str) -> Self {
        match Self::try_named(name) {
            Ok(header) => header,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`named`](Self::named), but returns the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`HttpBuildError::Header`] if it is no name of a header, or `grpc-timeout`, which has units.
    pub fn try_named(name: &str) -> Result<Self, HttpBuildError> {
        match name.parse::<HeaderName>() {
            Ok(name) if name != GRPC_TIMEOUT => Ok(Self(Kind::Millis(name))),
            _ => Err(HttpBuildError::Header {
                name: name.to_owned(),
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        match &self.0 {
            Kind::Grpc => &GRPC_TIMEOUT,
            Kind::Millis(name) => name,
        }
    }

    /// How long the caller waits, by these headers. What cannot be read is as if it were not there:
    /// anything but the digits and the unit of the format, too many digits, the header given twice.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap) -> Option<Duration> {
        let mut values = headers.get_all(self.name()).iter();
        let text = values.next()?.to_str().ok()?;
        if values.next().is_some() {
            return None;
        }
        match self.0 {
            Kind::Grpc => {
                let unit = text.chars().next_back()?;
                let (nanos, _) = NANOS.iter().find(|(_, named)| *named == unit)?;
                let value = number(&text[..text.len() - 1], 8)?;
                Some(nanos_to_duration(u128::from(value) * nanos))
            }
            Kind::Millis(_) => number(text, MOST_DIGITS).map(Duration::from_millis),
        }
    }

    /// Says that the caller waits for `left`.
    pub(super) fn write(&self, headers: &mut HeaderMap, left: Duration) {
        let value = match self.0 {
            Kind::Grpc => grpc_value(left),
            Kind::Millis(_) => u64::try_from(left.as_millis()).ok().map(HeaderValue::from),
        };
        if let Some(value) = value {
            headers.insert(self.name().clone(), value);
        }
    }
}

/// The finest unit that eight digits can count. gRPC has no zero, so it is a nanosecond.
fn grpc_value(left: Duration) -> Option<HeaderValue> {
    let nanos = left.as_nanos().max(1);
    let (value, unit) = NANOS
        .iter()
        .map(|(unit, name)| (nanos / unit, name))
        .find(|(value, _)| *value <= u128::from(MOST))?;
    // At most nine bytes of ASCII.
    format!("{value}{unit}").try_into().ok()
}

fn number(text: &str, most_digits: usize) -> Option<u64> {
    let digits = (1..=most_digits).contains(&text.len());
    if !digits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn nanos_to_duration(nanos: u128) -> Duration {
    // Eight digits of hours are far below what seconds can count.
    let secs = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(secs, (nanos % 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &DeadlineHeader, values: &[&str]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(header.name(), value);
        }
        header.read(&headers)
    }

    #[test]
    fn grpc_counts_in_six_units() {
        let grpc = DeadlineHeader::grpc();
        for (text, nanos) in [
            ("1n", 1),
            ("250u", 250_000),
            ("99999999m", 99_999_999_000_000),
            ("2S", 2_000_000_000),
            ("3M", 180_000_000_000),
            ("1H", 3_600_000_000_000),
            ("0S", 0),
            ("00000001S", 1_000_000_000),
        ] {
            assert_eq!(
                read(&grpc, &[text]),
                Some(Duration::from_nanos(nanos)),
                "{text}"
            );
        }
        let most = read(&grpc, &["99999999H"]).expect("eleven thousand years");
        assert_eq!(most.as_secs(), 99_999_999 * 3_600);
    }

    #[test]
    fn what_a_hostile_caller_sends_is_as_if_it_were_not_there() {
        let grpc = DeadlineHeader::grpc();
        for odd in [
            "",
            "S",
            "1",
            "-1S",
            "+1S",
            "1s",
            "1 S",
            " 1S",
            "1.5S",
            "100000000n",
            "123456789S",
            "1SS",
            "0x1S",
            "S1",
            "1µ",
            "é",
            "1e3S",
            "١S",
        ] {
            assert_eq!(read(&grpc, &[odd]), None, "{odd:?}");
        }
        assert_eq!(read(&grpc, &["1S", "1S"]), None);
        let http = DeadlineHeader::http();
        assert_eq!(read(&http, &["250"]), Some(Duration::from_millis(250)));
        assert_eq!(read(&http, &["0"]), Some(Duration::ZERO));
        for odd in [
            "",
            "-1",
            "+1",
            "1.5",
            "1 ",
            "1s",
            "NaN",
            "99999999999999",
            "0x10",
            "١",
        ] {
            assert_eq!(read(&http, &[odd]), None, "{odd:?}");
        }
        assert_eq!(read(&http, &["1", "2"]), None);
    }

    #[test]
    fn what_is_written_is_read_again_and_never_as_more() {
        let http = DeadlineHeader::named("x-left-ms");
        let grpc = DeadlineHeader::grpc();
        for nanos in (0..62).map(|bits| (1_u64 << bits) + bits) {
            let left = Duration::from_nanos(nanos);
            for header in [&http, &grpc] {
                let mut headers = HeaderMap::new();
                header.write(&mut headers, left);
                let text = headers[header.name()].to_str().expect("ASCII");
                let again = header.read(&headers).expect("it was written so");
                assert!(again <= left, "{text} of {left:?}");
                // Within a thousandth, or the grain of the header.
                let grain = if header == &http { 1_000_000 } else { 1 };
                let lost = (left - again).as_nanos();
                assert!(
                    lost <= u128::from(nanos / 1_000).max(grain),
                    "{text} of {left:?}"
                );
            }
        }
        let mut headers = HeaderMap::new();
        grpc.write(&mut headers, Duration::ZERO);
        assert_eq!(headers["grpc-timeout"], "1n");
        grpc.write(&mut headers, Duration::from_millis(250));
        assert_eq!(headers["grpc-timeout"], "250000u");
        grpc.write(&mut headers, Duration::MAX);
        assert_eq!(
            headers["grpc-timeout"], "250000u",
            "more than can be said is not said"
        );
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", "a b", "é", "grpc-timeout", "Grpc-Timeout", "a\n"] {
            let error = DeadlineHeader::try_named(name).expect_err(name).to_string();
            assert!(error.contains("like \"x-timeout-ms\""), "{error}");
        }
    }
}
