//! `pleach schema`: the JSON Schema of task files, and of what the queries print.

use super::output;
use crate::cli::SchemaArgs;
use crate::error::{Error, exit};
use crate::report::{self, schemas};

pub(super) fn run(args: &SchemaArgs) -> Result<u8, Error> {
    let all = schemas();
    let printed = match &args.name {
        Some(asked) => {
            let mut named = all.iter().filter(|(name, _)| name == asked);
            named.try_for_each(|(_, schema)| report::json(schema))
        }
        None => all.iter().try_for_each(|(name, _)| report::out(&format!("{name}\n"))),
    };
    printed.map_err(output)?;
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::SCHEMAS;

    #[test]
    fn every_schema_can_be_asked_for() {
        let names: Vec<&str> = schemas().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, SCHEMAS);
    }
}
