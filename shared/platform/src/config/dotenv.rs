//! The `.env` file.

use std::io;
use std::path::Path;

use super::args::ConfigArgs;
use super::reader::Problem;

/// Takes from the file at `path` what neither a flag nor the environment says. No file is no problem.
///
/// Only the variables of Streamz are read, and the process's environment is left as it is: changing it is not safe
/// once there are threads.
pub(super) fn fill(args: &mut ConfigArgs, path: &Path) -> Result<(), Problem> {
    // The line itself may hold a secret: only what is wrong is said.
    let problem = |message: String| Problem { variable: ".env", message };
    let place = path.display();
    let lines = match dotenvy::from_path_iter(path) {
        Err(error) if error.not_found() => return Ok(()),
        Err(error) => return Err(problem(format!("({place}) cannot be read: {error}."))),
        Ok(lines) => lines,
    };
    for line in lines {
        let (name, value) = line.map_err(|error| match error {
            dotenvy::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                problem(format!("({place}) is not UTF-8 text."))
            }
            dotenvy::Error::Io(error) => problem(format!("({place}) cannot be read: {error}.")),
            _ => problem(format!(
                "({place}) has a line that is not NAME=value; put values with spaces, # or quotes in quotes."
            )),
        })?;
        args.fill(&name, value);
    }
    Ok(())
}
