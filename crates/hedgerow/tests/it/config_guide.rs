//! The guide's tables are the descriptions, and what it shows is what is printed.

use std::sync::Mutex;

use hedgerow::config::{
    BatchConfig, CascadeConfig, Describe, HttpKeyConfig, LayerConfig, LimitConfig, QueueConfig,
    RateConfig, StackConfig, StoreConfig, TierConfig,
};

const GUIDE: &str = include_str!("../../src/guide/configuration.md");

/// Compares what stands between two marks after a heading with what is to stand there, or with
/// `HEDGEROW_BLESS=1` writes it.
#[track_caller]
fn holds(heading: &str, begin: &str, end: &str, wanted: &str) {
    let place = |page: &str| {
        let heading = page.find(heading).expect(heading);
        let from = heading + page[heading..].find(begin).expect(begin) + begin.len();
        from..from + page[from..].find(end).expect(end)
    };
    if std::env::var_os("HEDGEROW_BLESS").is_some() {
        static ONE_BY_ONE: Mutex<()> = Mutex::new(());
        let _one = ONE_BY_ONE.lock().unwrap();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/configuration.md");
        let mut page = std::fs::read_to_string(file).unwrap();
        let place = place(&page);
        page.replace_range(place, wanted);
        std::fs::write(file, page).unwrap();
        return;
    }
    let shown = &GUIDE[place(GUIDE)];
    assert!(
        shown == wanted,
        "run this test with HEDGEROW_BLESS=1 to write it anew; {heading} is to show\n{wanted}"
    );
}

/// The first block of this language after the heading.
fn block<'a>(heading: &str, language: &str) -> &'a str {
    let (_, rest) = GUIDE.split_once(heading).expect(heading);
    let (_, rest) = rest
        .split_once(&format!("```{language}\n"))
        .expect(language);
    rest.split_once("```").expect("an end").0
}

#[test]
fn the_tables_of_the_guide_are_those_of_the_schema() {
    let mut all = vec![StackConfig::describe()];
    all.extend(LayerConfig::describe_all());
    all.extend([
        LimitConfig::describe(),
        RateConfig::describe(),
        QueueConfig::describe(),
    ]);
    all.extend([CascadeConfig::describe(), TierConfig::describe()]);
    all.push(BatchConfig::describe());
    all.extend([HttpKeyConfig::describe(), StoreConfig::describe()]);
    for description in all {
        let begin = format!("<!-- keys of {} -->\n", description.name);
        let wanted = format!("{}\n\n{description}", description.description);
        holds("# Every key", &begin, "<!-- end -->", &wanted);
    }
}

#[test]
fn the_guides_file_is_explained_as_the_guide_shows() {
    let stack = StackConfig::from_toml(block("# A whole file", "toml")).unwrap();
    assert_eq!(stack.warnings(), []);
    holds(
        "# What a file says",
        "```text\n",
        "```",
        &stack.explain().to_string(),
    );
}

#[test]
fn the_guides_cascade_can_be_built() {
    let cascade = CascadeConfig::from_toml(block("# A cascade", "toml")).unwrap();
    let names: Vec<_> = cascade
        .tiers
        .iter()
        .map(|tier| tier.name.as_str())
        .collect();
    assert_eq!(names, ["small", "large"]);
}

#[test]
fn the_guides_mistakes_are_told_as_the_guide_shows() {
    let errors = StackConfig::from_toml(block("# Mistakes", "toml")).unwrap_err();
    holds("# Mistakes", "```text\n", "```", &format!("{errors}\n"));
}

#[test]
fn the_guides_file_is_the_one_of_its_program() {
    let (_, program) = GUIDE
        .split_once("```\nuse hedgerow::config::StackConfig;")
        .unwrap();
    // Hidden lines begin with a hash.
    let lines = program
        .lines()
        .map(|line| line.trim_start_matches("# ").trim_start_matches('#'));
    let program: String = lines.flat_map(|line| [line, "\n"]).collect();
    let file = block("# A whole file", "toml");
    assert!(
        program.contains(file),
        "the program reads the same file:\n{file}"
    );
}
