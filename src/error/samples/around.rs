//! One of each error of what surrounds a session.

use super::{REPOSITORY, denied};
use crate::error::{AroundError, Error};

pub(super) fn all() -> Vec<Error> {
    let directory = || format!("{REPOSITORY}/logs").into();
    let all = [
        AroundError::OutputFile {
            number: 1,
            path: format!("{REPOSITORY}/out").into(),
            problem: "is a directory".into(),
        },
        AroundError::SameOutputFile {
            first: 1,
            second: 2,
            path: format!("{REPOSITORY}/out.txt").into(),
        },
        AroundError::LogDir {
            directory: directory(),
            source: denied(),
        },
        AroundError::LogFilter {
            variable: "PLEACH_LOG",
            value: "pleach=loud".into(),
            problem: "invalid filter directive".into(),
        },
        AroundError::ManPages {
            directory: directory(),
            source: denied(),
        },
    ];
    all.map(Error::Around).into()
}
