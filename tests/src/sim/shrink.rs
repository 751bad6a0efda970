//! Makes a failing plan smaller: faults are left out as long as the run still breaks a rule (delta debugging),
//! and the noise of the network if it is not needed.

use super::{Plan, Report, run};

/// What is left of a plan.
#[derive(Clone, Debug)]
pub struct Least {
    /// The numbers of the actions that are needed.
    pub kept: Vec<usize>,
    /// The noise is not needed.
    pub calm: bool,
    /// What the smallest run that fails says.
    pub report: Report,
    /// Runs that it took.
    pub runs: u64,
}

/// The smallest plan that was found within so many runs.
#[must_use]
pub fn shrink(plan: &Plan, report: Report, most: u64) -> Least {
    shrink_by(plan, report, most, |plan| run(plan, false))
}

/// The same, where `play` says what comes of a plan.
fn shrink_by(plan: &Plan, report: Report, most: u64, play: impl Fn(&Plan) -> Report) -> Least {
    let all: Vec<usize> = (0..plan.actions.len()).collect();
    let mut least = Least { kept: all, calm: false, report, runs: 0 };
    least.try_plan(plan, Vec::new(), false, &play);
    least.try_plan(plan, least.kept.clone(), true, &play);
    let mut parts = 2;
    while least.kept.len() > 1 && least.runs < most {
        let size = least.kept.len().div_ceil(parts);
        let smaller = (0..parts).any(|part| {
            let cut = part * size..((part + 1) * size).min(least.kept.len());
            let rest = least.kept.iter().enumerate().filter(|(at, _)| !cut.contains(at));
            let rest = rest.map(|(_, kept)| *kept).collect();
            !cut.is_empty() && least.runs < most && least.try_plan(plan, rest, least.calm, &play)
        });
        if smaller {
            parts = (parts - 1).max(2);
        } else if size <= 1 {
            break;
        } else {
            parts = (parts * 2).min(least.kept.len());
        }
    }
    least
}

impl Least {
    /// Plays a smaller plan, and takes it if it fails too.
    fn try_plan(
        &mut self,
        plan: &Plan,
        kept: Vec<usize>,
        calm: bool,
        play: impl Fn(&Plan) -> Report,
    ) -> bool {
        let smaller = plan.with(&kept);
        let report = play(&if calm { smaller.calm() } else { smaller });
        self.runs += 1;
        if report.fault.is_none() {
            return false;
        }
        (self.kept, self.calm, self.report) = (kept, calm, report);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_does_not_need_is_left_out() {
        let plan = Plan::new(3, 1_000);
        let needed = [7, 40].map(|at| format!("{:?}", plan.actions[at]));
        let fails = |smaller: &Plan| {
            let all: Vec<String> = smaller.actions.iter().map(|a| format!("{a:?}")).collect();
            let fault = needed.iter().all(|one| all.contains(one)).then(|| "both".to_owned());
            Report { fault, ..Report::default() }
        };
        let least = shrink_by(&plan, fails(&plan), 1_000, fails);
        assert!(plan.actions.len() > 40 && least.calm);
        assert_eq!(least.kept, [7, 40]);
        assert_eq!(least.report.fault.as_deref(), Some("both"));
    }
}
