//! What the checks found, for people: a line for each rule.

use std::fmt;

/// What became of the rules.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One for each rule, in the order in which they were checked.
    pub checks: Vec<Checked>,
}

/// What became of one rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checked {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// Whether it holds.
    pub outcome: Outcome,
}

/// Whether a rule holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It held wherever it was tried.
    Passed,
    /// It could not be tried, and why.
    Skipped(String),
    /// It is broken: what was seen.
    Broken(String),
}

impl Report {
    /// How many rules held.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.checks.iter().filter(|checked| checked.outcome == Outcome::Passed).count()
    }

    /// How many rules could not be tried.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.checks.len() - self.passed() - self.broken().count()
    }

    /// The rules that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &Checked> {
        self.checks.iter().filter(|checked| matches!(checked.outcome, Outcome::Broken(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.checks.iter().try_for_each(|checked| writeln!(f, "{checked}"))
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Passed => write!(f, "ok      {}", self.rule),
            Outcome::Skipped(why) => write!(f, "skipped {}: {}", self.rule, one_line(why)),
            Outcome::Broken(seen) => write!(f, "BROKEN  {}: {}", self.rule, one_line(seen)),
        }
    }
}

/// What a store says about an error may have several lines; a report has one for each rule.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_line() {
        let outcomes = [
            Outcome::Passed,
            Outcome::Skipped("no crash".into()),
            Outcome::Broken("found\n  nothing".into()),
        ];
        let checks = outcomes.map(|outcome| Checked { rule: "a rule", outcome }).to_vec();
        let report = Report { checks };
        let lines = "ok      a rule\nskipped a rule: no crash\nBROKEN  a rule: found nothing\n";
        assert_eq!(report.to_string(), lines);
        assert_eq!((report.passed(), report.skipped(), report.broken().count()), (1, 1, 1));
    }
}
