//! What signs access tokens, and what proves the processes of a fleet to each other.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use streamz_auth::folder::is_kid;
use streamz_auth::{KeyFolder, SigningKey, Signs};

use super::reader::Reader;
use super::{Environment, Role, SigningSource, secrets, sections};

const ADVICE: &str = "write at least 32 random bytes, such as the output of `openssl rand -base64 32`";

pub(super) fn read_signing(
    r: &mut Reader<'_>,
    role: Role,
    environment: Environment,
    shared: bool,
    data_dir: &Path,
    warnings: &mut Vec<String>,
) -> SigningSource {
    let generated = || SigningSource::KeyFile(data_dir.join("key"));
    let folder = r.text("JWT_KEYS_DIR").map(PathBuf::from);
    let kid = r.parsed("JWT_SIGNING_KEY", |text| match text.strip_suffix(".pem").unwrap_or(text) {
        kid if is_kid(kid) => Ok(kid.to_owned()),
        _ => Err("write the name of a file in JWT_KEYS_DIR without .pem, such as 2026-11"),
    });
    let secret = r.text("JWT_SECRET");
    if let Some(secret) = secret {
        let least = secrets::SIGNING_MIN_BYTES;
        sections::judge(r, environment, warnings, ("JWT_SECRET", secret), least, ADVICE);
    }
    let secret = secret.map(SecretString::from);
    // It neither signs nor verifies; what it has in common with gateways may stand there or not.
    if role == Role::Node {
        return secret.map_or_else(generated, SigningSource::Secret);
    }
    let key = secret.as_ref().map(SigningKey::from_secret);
    match (folder, kid, key, secret) {
        (Some(path), Some(kid), secret, _) => {
            SigningSource::Folder(KeyFolder { path, signs: Signs::Key { kid, secret } })
        }
        (Some(path), None, Some(secret), _) => {
            SigningSource::Folder(KeyFolder { path, signs: Signs::Secret(secret) })
        }
        (Some(_), None, None, _) => {
            // What is wrong with a name that was written is said already.
            if r.text("JWT_SIGNING_KEY").is_none() {
                r.problem(
                    "JWT_SIGNING_KEY",
                    "is missing: JWT_KEYS_DIR holds keys, and there is no JWT_SECRET; write the name of the file that \
                     signs, without .pem.",
                );
            }
            generated()
        }
        (None, Some(_), ..) => {
            r.problem(
                "JWT_KEYS_DIR",
                "is missing: JWT_SIGNING_KEY names a key; name the folder it is in, too.",
            );
            generated()
        }
        (None, None, _, Some(secret)) => SigningSource::Secret(secret),
        (None, None, _, None) => {
            let keys = "or name a folder of keys in JWT_KEYS_DIR";
            if environment == Environment::Production {
                r.problem("JWT_SECRET", format!("is missing: with ENV=production {ADVICE}, {keys}."));
            } else if shared {
                r.problem(
                    "JWT_SECRET",
                    format!("is missing: all processes of a fleet share it; {ADVICE}, {keys}."),
                );
            }
            generated()
        }
    }
}

/// A fleet has one; for a process alone there is nobody to talk to.
pub(super) fn read_bus_secret(
    r: &mut Reader<'_>,
    role: Role,
    environment: Environment,
    warnings: &mut Vec<String>,
) -> Option<SecretString> {
    if let Some(secret) = r.text("BUS_SECRET") {
        let least = secrets::SIGNING_MIN_BYTES;
        sections::judge(r, environment, warnings, ("BUS_SECRET", secret), least, ADVICE);
        return Some(secret.into());
    }
    let secret = r.text("JWT_SECRET");
    let keys = r.text("JWT_KEYS_DIR").is_some();
    // A gateway without any key is told so where that is read.
    if secret.is_none() && (role == Role::Node || role.is_fleet() && keys) {
        let (missing, other) = if keys { ("BUS_SECRET", "JWT_SECRET") } else { ("JWT_SECRET", "BUS_SECRET") };
        r.problem(
            missing,
            format!("is missing: by it, or by {other}, the processes of a fleet know each other; {ADVICE}."),
        );
    }
    secret.map(SecretString::from)
}
