//! What is wrong with a configuration: all of it at once.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Keys and values are shown up to so many bytes.
const LONG: usize = 200;

/// Everything that is wrong with a configuration, one [`Mistake`] a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    mistakes: Vec<Mistake>,
}

/// One mistake: where it stands, what was written there, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    key: String,
    line: Option<usize>,
    value: Option<String>,
    problem: String,
}

impl ConfigErrors {
    /// The mistakes, in the order in which they stand in the configuration where that is known.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    pub(crate) fn one(key: &str, problem: impl fmt::Display) -> Self {
        let mut mistakes = Mistakes::default();
        mistakes.say(key, problem);
        Self {
            mistakes: mistakes.found,
        }
    }
}

impl Mistake {
    /// The path of the key, like `layer[1].percentile`; empty for the file as a whole.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The line of the file, from 1, if it was read from TOML.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// The value as it was written, if there was one.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// What is wrong with it, and what to write instead.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

/// Collects mistakes, each with the path of its key.
#[derive(Debug, Default)]
pub struct Mistakes {
    within: String,
    found: Vec<Mistake>,
}

impl Mistakes {
    /// Whether nothing is wrong so far.
    pub(crate) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What `read` finds stands below the key `place`.
    pub fn within<T>(&mut self, place: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.within.clone();
        self.within = self.path(place);
        let read = read(self);
        self.within = outside;
        read
    }

    /// Says that `value`, written at `key`, is wrong.
    pub fn refuse(&mut self, key: &str, value: impl Serialize, problem: impl fmt::Display) {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.add(key, None, Some(value.to_string()), problem);
    }

    /// Says that something is wrong at `key` that no value there shows, unless one was told to be.
    pub fn say(&mut self, key: &str, problem: impl fmt::Display) {
        if !self.told(key) {
            self.add(key, None, None, problem);
        }
    }

    /// Whether something was told to be wrong at `key`, or at an item of it.
    pub fn told(&self, key: &str) -> bool {
        let path = self.path(key);
        let told = |mistake: &Mistake| {
            let rest = mistake.key.strip_prefix(&path);
            !path.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        self.found.iter().any(told)
    }

    /// `tried`, or its error as a mistake.
    pub(crate) fn attempt<T>(
        &mut self,
        key: &str,
        value: impl Serialize,
        tried: Result<T, impl fmt::Display>,
    ) -> Option<T> {
        match tried {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(key, value, error);
                None
            }
        }
    }

    pub(crate) fn add(
        &mut self,
        key: &str,
        line: Option<usize>,
        value: Option<String>,
        problem: impl fmt::Display,
    ) {
        self.found.push(Mistake {
            key: self.path(key),
            line,
            value,
            problem: problem.to_string(),
        });
    }

    /// Fills in what the file says of each mistake's place, and puts them into its order.
    pub(crate) fn locate(&mut self, place: impl Fn(&str) -> Option<(usize, Option<String>)>) {
        for mistake in &mut self.found {
            let mut key = mistake.key.as_str();
            let mut itself = true;
            // A key that is missing is looked for in the table that lacks it.
            while mistake.line.is_none() {
                if let Some((line, written)) = place(key) {
                    mistake.line = Some(line);
                    if itself && mistake.value.is_some() && written.is_some() {
                        mistake.value = written;
                    }
                }
                itself = false;
                match key.rfind(['.', '[']) {
                    Some(end) => key = &key[..end],
                    None => break,
                }
            }
        }
        self.found.sort_by_key(|mistake| mistake.line);
    }

    /// What was built, unless there is a mistake.
    ///
    /// # Errors
    ///
    /// All mistakes, if there is one.
    pub fn judge<T>(self, built: Option<T>) -> Result<T, ConfigErrors> {
        match built {
            Some(built) if self.found.is_empty() => Ok(built),
            _ => Err(ConfigErrors {
                mistakes: self.found,
            }),
        }
    }

    fn path(&self, key: &str) -> String {
        match (self.within.as_str(), key) {
            ("", key) => key.to_owned(),
            (within, "") => within.to_owned(),
            (within, key) => format!("{within}.{key}"),
        }
    }
}

// === impl Display, Error ===

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        let key = readable(&self.key);
        match (&*key, self.value.as_deref().map(readable)) {
            ("", None) => {}
            ("", Some(value)) => write!(f, "{value}: ")?,
            (key, None) => write!(f, "{key}: ")?,
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
        }
        f.write_str(&self.problem)
    }
}

/// On one line, without what a terminal would obey, and no longer than one reads.
fn readable(text: &str) -> Cow<'_, str> {
    let plain = !text.contains(char::is_control);
    if plain && text.len() <= LONG {
        return text.into();
    }
    let mut short = String::new();
    for letter in text.chars() {
        if short.len() >= LONG {
            short.push_str(" ...");
            break;
        }
        if letter.is_control() {
            short.extend(letter.escape_default());
        } else {
            short.push(letter);
        }
    }
    short.into()
}

impl std::error::Error for ConfigErrors {}
