//! Times as servers write them into headers.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// The one place where the wall clock is read: a date means nothing without it.
#[expect(
    clippy::disallowed_methods,
    reason = "an HTTP date is wall-clock time; tests hand the readers of headers a clock of their own"
)]
pub(super) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// The text of a header, without the space around it.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let text = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?;
    Some(text.trim())
}

/// An HTTP date, in any of its three forms.
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// How long it is until `date`, by the `Date` of the same answer, so that clocks which differ do no
/// harm; by `now` if it has none. Nothing if it has passed.
pub(super) fn until(
    date: SystemTime,
    headers: &HeaderMap,
    now: impl FnOnce() -> SystemTime,
) -> Duration {
    let told = text(headers, header::DATE).and_then(http_date);
    let since = told.unwrap_or_else(now);
    date.duration_since(since).unwrap_or_default()
}

/// Digits and nothing else. More than a number can hold is as much as it can.
pub(super) fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `12` or `1.5` of a unit of so many nanoseconds.
pub(super) fn decimal(text: &str, unit_nanos: u64) -> Option<Duration> {
    let (before, behind) = text.split_once('.').unwrap_or((text, "0"));
    whole(behind)?;
    let fraction: u128 = behind[..behind.len().min(9)].parse().ok()?;
    let scale = 10_u128.pow(behind.len().min(9) as u32);
    let nanos = u128::from(whole(before)?)
        .checked_mul(u128::from(unit_nanos))?
        .checked_add(fraction * u128::from(unit_nanos) / scale)?;
    let secs = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Some(Duration::new(secs, (nanos % 1_000_000_000) as u32))
}

/// `6m0s`, `1h2m3.5s`, `20ms`: numbers with their units, as Go prints a duration.
pub(super) fn with_units(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, behind) = rest.split_at(number);
        let ends = behind.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, later) = behind.split_at(ends.unwrap_or(behind.len()));
        let nanos = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        total = total.checked_add(decimal(value, nanos)?)?;
        rest = later;
    }
    (!text.is_empty()).then_some(total)
}

/// `2026-03-01T12:00:00Z`, with a fraction or an offset if need be: RFC 3339, from 1970 on.
pub(super) fn rfc_3339(text: &str) -> Option<SystemTime> {
    let field = |range: std::ops::Range<usize>| whole(text.get(range)?);
    let at = |index: usize, wanted: &[u8]| {
        text.as_bytes()
            .get(index)
            .is_some_and(|byte| wanted.contains(byte))
    };
    let shaped = at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":");
    if !shaped {
        return None;
    }
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second) = (field(11..13)?, field(14..16)?, field(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let zone = text
        .get(19..)?
        .find(|c: char| c != '.' && !c.is_ascii_digit())?
        + 19;
    let nanos = match text.get(19..zone)? {
        "" => 0,
        fraction => decimal(&format!("0{fraction}"), 1_000_000_000)?.subsec_nanos(),
    };
    let offset = offset_secs(text.get(zone..)?)?;
    let secs = days_since_1970(year, month, day) * 86_400
        + (hour * 3_600 + minute * 60 + second) as i64
        - offset;
    let secs = u64::try_from(secs).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(secs, nanos))
}

fn offset_secs(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = match (hours.len(), minutes.len()) {
        (2, 2) => (whole(hours)?, whole(minutes)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let secs = (hours * 3_600 + minutes * 60) as i64;
    match zone.as_bytes()[0] {
        b'+' => Some(secs),
        b'-' => Some(-secs),
        _ => None,
    }
}

/// Counted in years that begin in March, so that a leap day is the last of its year.
fn days_since_1970(year: u64, month: u64, day: u64) -> i64 {
    let year = if month <= 2 {
        year as i64 - 1
    } else {
        year as i64
    };
    let month = (month as i64 + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day as i64 - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // What this counts for the first of January, 1970.
    365 * year + leaps + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_with_units_are_read_as_go_prints_them() {
        let ms = |text| with_units(text).map(|time| time.as_micros() as f64 / 1e3);
        assert_eq!(ms("1s"), Some(1_000.0));
        assert_eq!(ms("6m0s"), Some(360_000.0));
        assert_eq!(ms("20ms"), Some(20.0));
        assert_eq!(ms("1h2m3.5s"), Some(3_723_500.0));
        assert_eq!(ms("2m59.56s"), Some(179_560.0));
        assert_eq!(ms("250µs"), Some(0.25));
        assert_eq!(ms("0"), Some(0.0));
        assert_eq!(ms("1.23456789012345s"), Some(1_234.567));
        for none in [
            "", "s", "1", "1x", "-1s", "1.s", ".5s", "1 s", "1..2s", "1s2", "1e3s",
        ] {
            assert_eq!(ms(none), None, "{none:?}");
        }
        // Too long is too long, and no panic.
        assert!(
            with_units("99999999999999999999999h").is_some_and(|time| time.as_secs() > 1 << 50)
        );
    }

    fn unix(text: &str) -> Option<f64> {
        let since = rfc_3339(text)?.duration_since(SystemTime::UNIX_EPOCH);
        since.ok().map(|since| since.as_secs_f64())
    }

    /// Against the dates that httpdate reads, which counts days in another way.
    #[test]
    fn every_day_of_four_centuries_is_where_http_dates_put_it() {
        let names = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        for year in 1970..2370 {
            for (month, name) in (1..).zip(names) {
                for day in [1, 28] {
                    let ours = rfc_3339(&format!("{year}-{month:02}-{day:02}T08:49:37Z"));
                    let theirs = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
                        .into_iter()
                        .find_map(|week| {
                            http_date(&format!("{week}, {day:02} {name} {year} 08:49:37 GMT"))
                        });
                    assert_eq!(ours, theirs, "{year}-{month}-{day}");
                }
            }
        }
    }

    #[test]
    fn rfc_3339_with_fractions_and_offsets() {
        assert_eq!(unix("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(unix("1994-11-06T08:49:37Z"), Some(784_111_777.0));
        assert_eq!(unix("1994-11-06t08:49:37.25z"), Some(784_111_777.25));
        assert_eq!(unix("1994-11-06T10:49:37+02:00"), Some(784_111_777.0));
        assert_eq!(unix("1994-11-06T03:19:37-05:30"), Some(784_111_777.0));
        assert_eq!(unix("2016-12-31T23:59:60Z"), Some(1_483_228_800.0));
        assert_eq!(unix("2024-02-29T00:00:00Z"), Some(1_709_164_800.0));
        for none in [
            "",
            "1994-11-06",
            "1994-11-06T08:49:37",
            "1994-13-06T08:49:37Z",
            "1994-11-31T08:49:37Z",
            "2023-02-29T00:00:00Z",
            "1994-11-06T24:00:00Z",
            "1994-11-06T08:49:37.Z",
            "1994-11-06T08:49:37+2:00",
            "1969-12-31T23:59:59Z",
            "1994-11-06T08:49:37+99:00",
            "é994-11-06T08:49:37Z",
            "1994-11-06T08:49:37é",
        ] {
            assert_eq!(unix(none), None, "{none:?}");
        }
    }
}
