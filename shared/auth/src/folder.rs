//! A folder of key files, `KID.pem` each.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::key::{KeyError, SigningKey};
use crate::keys::KeySet;
use crate::pem::{PemKey, PemProblem};

/// The largest file that is read, in bytes: a key of RSA with 4,096 bits has 3,300.
const FILE_MAX_BYTES: u64 = 16 * 1024;
/// The most keys: a rotation needs two, and a token is looked up in all.
const KEYS_MAX: usize = 32;
/// The longest name of a key, which is in every token.
const KID_MAX_BYTES: usize = 64;

/// Where the keys are, and which of them signs. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    /// Each file `KID.pem` in it is a key: a private one in PKCS#8, or a public one, which verifies only. Names that begin
    /// with a dot and other endings are passed over.
    pub path: PathBuf,
    /// What signs.
    pub signs: Signs,
}

/// What signs new tokens.
#[derive(Clone, Debug)]
pub enum Signs {
    /// The secret; the keys of the folder verify.
    Secret(SigningKey),
    /// A private key of the folder; the secret verifies, too, if there still is one.
    Key {
        /// Its name, without `.pem`.
        kid: String,
        /// What signed before.
        secret: Option<SigningKey>,
    },
}

/// The files of a folder as they were read.
pub struct KeyFiles {
    files: Vec<(String, SecretString)>,
    fingerprint: [u8; 32],
}

/// Why keys cannot be used. Each names the file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file of a generated secret.
    #[error(transparent)]
    Generated(#[from] KeyError),
    /// The folder or a file in it.
    #[error("JWT_KEYS_DIR: {} cannot be read: {source}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is no key that can be used.
    #[error("JWT_KEYS_DIR: {} {problem}.", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: PemProblem,
    },
    /// A file of another size.
    #[error("JWT_KEYS_DIR: {} is longer than {FILE_MAX_BYTES} bytes: it is no key.", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// A file whose name cannot stand in a token.
    #[error(
        "JWT_KEYS_DIR: {} is called by its name in every token: write at most {KID_MAX_BYTES} letters, digits, \
         dots, dashes and underscores before .pem.",
        path.display()
    )]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// More keys than anybody rotates.
    #[error("JWT_KEYS_DIR: {} holds more than {KEYS_MAX} keys: remove those that sign no living token.", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// The key that is to sign is not there.
    #[error("JWT_SIGNING_KEY: there is no {kid}.pem in {}{others}.", path.display())]
    NoSuchKey {
        /// The name that was written.
        kid: String,
        /// The folder.
        path: PathBuf,
        /// `, but …`: what is there.
        others: String,
    },
    /// The key that is to sign is a public one.
    #[error("JWT_SIGNING_KEY: {kid}.pem in {} is a public key: it verifies, and cannot sign.", path.display())]
    OnlyPublic {
        /// Its name.
        kid: String,
        /// The folder.
        path: PathBuf,
    },
}

impl KeyFolder {
    /// Reads and understands all files.
    ///
    /// Blocking.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn load(&self) -> Result<KeySet, KeysError> {
        self.understand(&self.read()?)
    }

    /// Reads all files. Blocking.
    ///
    /// # Errors
    /// [`KeysError::Read`] and what else can be wrong with a file before it is understood.
    pub fn read(&self) -> Result<KeyFiles, KeysError> {
        let failed = |path: &PathBuf, source| KeysError::Read { path: path.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|source| failed(&self.path, source))? {
            let path = entry.map_err(|source| failed(&self.path, source))?.path();
            // Kubernetes keeps its own in hidden folders, and so do editors.
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension().is_some_and(|ending| ending == "pem") {
                found.push(path);
            }
        }
        if found.len() > KEYS_MAX {
            return Err(KeysError::TooMany { path: self.path.clone() });
        }
        found.sort();
        let mut files = Vec::with_capacity(found.len());
        let mut hash = Sha256::new();
        for path in found {
            let kid = path.file_stem().and_then(|name| name.to_str()).filter(|name| is_kid(name));
            let kid = kid.ok_or_else(|| KeysError::Name { path: path.clone() })?.to_owned();
            let mut bytes = Vec::new();
            let file = File::open(&path).map_err(|source| failed(&path, source))?;
            file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|source| failed(&path, source))?;
            if bytes.len() as u64 > FILE_MAX_BYTES {
                return Err(KeysError::TooLong { path });
            }
            hash.update((kid.len() as u64).to_be_bytes());
            hash.update(kid.as_bytes());
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(&bytes);
            let text = String::from_utf8(bytes)
                .map_err(|_| KeysError::File { path, problem: PemProblem::NotPem })?;
            files.push((kid, SecretString::from(text)));
        }
        Ok(KeyFiles { files, fingerprint: hash.finalize().into() })
    }

    /// The keys in these files.
    ///
    /// # Errors
    /// [`KeysError`]: one of them cannot be used, or the one that is to sign is missing. Then none is used: a set with a
    /// hole would refuse somebody's tokens.
    pub fn understand(&self, read: &KeyFiles) -> Result<KeySet, KeysError> {
        let mut keys = Vec::with_capacity(read.files.len());
        for (kid, text) in &read.files {
            let key = PemKey::parse(text.expose_secret())
                .map_err(|problem| KeysError::File { path: self.path.join(format!("{kid}.pem")), problem })?;
            keys.push((kid.clone(), key));
        }
        let (kid, secret) = match &self.signs {
            Signs::Secret(secret) => (None, Some(secret)),
            Signs::Key { kid, secret } => {
                let path = self.path.clone();
                let Some((_, key)) = keys.iter().find(|(known, _)| known == kid) else {
                    let names: Vec<&str> = keys.iter().map(|(kid, _)| &**kid).collect();
                    let others = match names.len() {
                        0 => ": it holds no key at all".to_owned(),
                        _ => format!(", but {}", names.join(", ")),
                    };
                    return Err(KeysError::NoSuchKey { kid: kid.clone(), path, others });
                };
                if key.signs.is_none() {
                    return Err(KeysError::OnlyPublic { kid: kid.clone(), path });
                }
                (Some(&**kid), secret.as_ref())
            }
        };
        Ok(KeySet::of_keys(keys, secret, kid).expect("the key that signs is there, and private"))
    }
}

impl KeyFiles {
    /// Equal for the same names with the same content.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

/// Whether a key may have this name.
#[must_use]
pub fn is_kid(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=KID_MAX_BYTES).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed)
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
