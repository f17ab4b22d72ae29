//! The JSON Schema of every document that a query prints, and of task files, made from the types themselves.
//!
//! The files in `docs/schema` are these; a test holds both them and what the program really prints to it.

use schemars::{Schema, schema_for};

use super::{
    CleanDocument, Diagnosis, DiffDocument, DryRun, ListDocument, LogsDocument, MergeDocument, Overview, PlanDocument,
    RecoverDocument, ResultsDocument, UndoDocument,
};
use crate::session::StatusDocument;
use crate::task::TaskFile;

/// The name of each query, and the schema of what it prints with `--json`; and that of task files.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("tasks", schema_for!(TaskFile)),
        ("status", schema_for!(StatusDocument)),
        ("results", schema_for!(ResultsDocument)),
        ("list", schema_for!(ListDocument)),
        ("plan", schema_for!(PlanDocument<'_>)),
        ("merge", schema_for!(MergeDocument)),
        ("undo", schema_for!(UndoDocument)),
        ("logs", schema_for!(LogsDocument)),
        ("diff", schema_for!(DiffDocument)),
        ("recover", schema_for!(RecoverDocument)),
        ("overview", schema_for!(Overview)),
        ("doctor", schema_for!(Diagnosis)),
        ("clean", schema_for!(CleanDocument)),
        ("dry-run", schema_for!(DryRun)),
    ]
}
