//! Single values of a service config: times and codes.

use std::time::Duration;

use serde_json::Value;

/// The codes by their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The seconds of 10,000 years: more no duration of protocol buffers may have.
const MOST_SECONDS: u64 = 315_576_000_000;
const NANO_DIGITS: usize = 9;

/// A duration of protocol buffers in JSON: decimal seconds with up to nine digits behind the point, and an
/// `s`. One below zero is none here.
pub(super) fn duration(value: &Value) -> Result<Duration, &'static str> {
    let seconds = value.as_str().and_then(|text| text.strip_suffix('s'));
    let seconds = seconds.ok_or("write seconds in quotes with an \"s\", like \"1.5s\"")?;
    if seconds.starts_with('-') {
        return Err("a time cannot be negative: write seconds, like \"1.5s\"");
    }
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let empty = whole.is_empty() && part.is_empty();
    if empty || !digits(whole) || !digits(part) || part.len() > NANO_DIGITS {
        return Err(
            "write decimal seconds with an \"s\", like \"1.5s\", to the nanosecond at most",
        );
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let secs = whole.parse().ok().filter(|&secs| secs <= MOST_SECONDS);
    let secs: u64 = secs.ok_or("write at most \"315576000000s\"")?;
    // Nine digits are below a second's nanoseconds.
    let nanos = format!("{part:0<NANO_DIGITS$}").parse().unwrap_or_default();
    Ok(Duration::new(secs, nanos))
}

/// A code by its name or its number; `OK` is no failure.
pub(super) fn code(value: &Value) -> Result<u32, &'static str> {
    let named = value
        .as_str()
        .and_then(|name| NAMES.iter().position(|known| *known == name));
    let numbered = value.as_u64().map(|number| number as usize);
    match named.or(numbered) {
        Some(0) => Err("`OK` is no failure: leave it out"),
        Some(code) if code < NAMES.len() => Ok(code as u32),
        _ => Err("write the name of a status code, like \"UNAVAILABLE\""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, nanos) in [
            ("1s", 1_000_000_000),
            (".1s", 100_000_000),
            ("0s", 0),
            ("1.s", 1_000_000_000),
            ("0.000000001s", 1),
            ("3.5s", 3_500_000_000),
        ] {
            let read = duration(&json!(text)).expect(text);
            assert_eq!(read, Duration::from_nanos(nanos), "{text}");
        }
        let longest = duration(&json!("315576000000s")).expect("ten thousand years");
        assert_eq!(longest.as_secs(), 315_576_000_000);
        for odd in [
            "",
            "s",
            ".s",
            "1",
            "1ms",
            "-1s",
            "+1s",
            "1.0000000001s",
            "1e3s",
            " 1s",
            "1 s",
            "١s",
            "315576000001s",
            "99999999999999999999s",
            "1.-1s",
            "0x1s",
        ] {
            assert!(duration(&json!(odd)).is_err(), "{odd:?}");
        }
        assert!(duration(&json!(1.5)).is_err());
    }

    #[test]
    fn codes_are_read_by_name_and_number() {
        assert_eq!(code(&json!("CANCELLED")), Ok(1));
        assert_eq!(code(&json!("UNAVAILABLE")), Ok(14));
        assert_eq!(code(&json!("UNAUTHENTICATED")), Ok(16));
        assert_eq!(code(&json!(14)), Ok(14));
        for odd in [
            json!("OK"),
            json!(0),
            json!(17),
            json!(-1),
            json!(1.5),
            json!("unavailable"),
        ] {
            assert!(code(&odd).is_err(), "{odd}");
        }
    }
}
