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

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::{Config, Role};
    use super::*;

    fn filled(written: &[(&'static str, &'static str)], file: &[u8]) -> Result<ConfigArgs, Problem> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".env");
        std::fs::write(&path, file).unwrap();
        let mut args = ConfigArgs::from_vars(written.iter().copied()).unwrap();
        fill(&mut args, &path).map(|()| args)
    }

    #[test]
    fn the_file_completes_what_was_written_and_never_wins() {
        let file = b"# ours\nPORT=9000\nHOST=::1\n\nexport ENV=production\nOTHER=x\n";
        let args = filled(&[("HOST", "10.0.0.1")], file).unwrap();
        assert_eq!(args.written("PORT"), Some("9000"));
        assert_eq!(args.written("HOST"), Some("10.0.0.1"));
        assert_eq!(args.written("ENV"), Some("production"));
    }

    #[test]
    fn values_may_be_quoted() {
        let args = filled(&[], b"JWT_SECRET='a #$b c'\nTURN_SECRET=\"x y\"\n").unwrap();
        assert_eq!(args.jwt_secret.unwrap().expose_secret(), "a #$b c");
        assert_eq!(args.turn_secret.unwrap().expose_secret(), "x y");
    }

    #[test]
    fn no_file_is_no_problem() {
        let home = tempfile::tempdir().unwrap();
        Config::load_with(Role::Embedded, ConfigArgs::default(), &home.path().join(".env")).unwrap();
    }

    #[test]
    fn what_is_wrong_with_the_file_is_said_without_its_content() {
        for file in
            [&b"JWT_SECRET=s3 cret\n"[..], b"s3cret\n", b"JWT_SECRET='s3cret\n", b"JWT_SECRET=s3cret\xff\n"]
        {
            let problem = filled(&[], file).unwrap_err();
            assert!(problem.to_string().starts_with(".env ("), "{problem}");
            assert!(!problem.to_string().contains("cret"), "{problem}");
        }
        let home = tempfile::tempdir().unwrap();
        let problem = fill(&mut ConfigArgs::default(), home.path()).unwrap_err();
        assert!(problem.message.contains("cannot be read"), "{problem}");
    }

    #[test]
    fn its_problems_are_reported_with_all_others() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".env");
        std::fs::write(&path, "PORT=x\nnonsense\n").unwrap();
        let errors = Config::load_with(Role::Node, ConfigArgs::default(), &path).unwrap_err();
        let names: Vec<_> = errors.0.iter().map(|problem| problem.variable).collect();
        assert_eq!(names, [".env", "PORT", "DATABASE_URL", "REDIS_URL", "JWT_SECRET"]);
    }
}
