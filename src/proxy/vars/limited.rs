//! What became of a request by its route's limits, in nginx's words (`$limit_req_status`,
//! `$limit_conn_status`).

use crate::snapshot::settings::LimitKind;

/// What became of it, by rates and by concurrency; `None`: nothing judged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdicts {
    /// By how often.
    pub rate: Option<Verdict>,
    /// By how often at once.
    pub concurrency: Option<Verdict>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It went on.
    Passed,
    /// It waited until it was due; `dry`: it would have.
    Delayed {
        /// In a dry run.
        dry: bool,
    },
    /// It was refused; `dry`: it would have been.
    Rejected {
        /// In a dry run.
        dry: bool,
    },
}

impl Verdicts {
    /// In nginx's words; empty where nothing judged it.
    pub(super) fn text(self, kind: LimitKind) -> &'static str {
        let verdict = match kind {
            LimitKind::Rate => self.rate,
            LimitKind::Concurrency => self.concurrency,
        };
        match verdict {
            None => "",
            Some(Verdict::Passed) => "PASSED",
            Some(Verdict::Delayed { dry: false }) => "DELAYED",
            Some(Verdict::Delayed { dry: true }) => "DELAYED_DRY_RUN",
            Some(Verdict::Rejected { dry: false }) => "REJECTED",
            Some(Verdict::Rejected { dry: true }) => "REJECTED_DRY_RUN",
        }
    }
}
