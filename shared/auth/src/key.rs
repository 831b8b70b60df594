//! The secret behind the access tokens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// The bytes of a generated key: as many as HS256's hash has (RFC 7518 section 3.2).
pub const KEY_BYTES: usize = 32;

/// The largest key file that is read, in bytes: whatever is longer is not a key.
const KEY_FILE_MAX_BYTES: u64 = 4096;

/// A secret for HMAC-SHA256. Its `Debug` shows nothing.
#[derive(Clone, Debug)]
pub struct SigningKey(SecretSlice<u8>);

impl SigningKey {
    /// 256 random bits from the operating system's generator.
    #[must_use]
    pub fn generate() -> Self {
        Self(SecretSlice::from(rand::random::<[u8; KEY_BYTES]>().to_vec()))
    }

    /// The bytes of a configured secret, `JWT_SECRET`, as they are.
    ///
    /// How strong a secret must be is the configuration's decision (it differs between development and
    /// production), not this type's.
    #[must_use]
    pub fn from_secret(secret: &SecretString) -> Self {
        Self(SecretSlice::from(secret.expose_secret().as_bytes().to_vec()))
    }

    /// The key in the file at `path`; on the first start the file is made, readable by its owner only.
    ///
    /// The file holds the key's bytes and nothing else. It appears whole or not at all, and when two
    /// processes start at once both end up with the same key. Blocking; meant for the start of a process.
    ///
    /// # Errors
    /// Every [`KeyError`] names the file: it cannot be read or made, or does not hold a whole key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path, &Self::generate())
                    .map_err(|source| KeyError::Create { path: path.to_owned(), source })?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    fn load(path: &Path) -> Result<Self, KeyError> {
        let read = |source| KeyError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::with_capacity(KEY_BYTES);
        File::open(path).map_err(read)?.take(KEY_FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
        let key = Self(SecretSlice::from(bytes));
        let length = key.bytes().len();
        if length < KEY_BYTES {
            return Err(KeyError::TooShort { path: path.to_owned(), length });
        }
        if length as u64 > KEY_FILE_MAX_BYTES {
            return Err(KeyError::TooLong { path: path.to_owned() });
        }
        Ok(key)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

/// Writes the key beside its place and links it there. A link, unlike a rename, never replaces: if another
/// process was faster, its key stands, and is the one that the caller loads next.
fn create(path: &Path, key: &SigningKey) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let draft = directory.join(format!(".key-{:016x}", rand::random::<u64>()));
    let written = write_private(&draft, key.bytes()).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    written?;
    removed?;
    File::open(directory)?.sync_all()
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Why the key file cannot be used. Each names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there and cannot be read.
    #[error("the key file {} cannot be read: {source}", path.display())]
    Read {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not there and cannot be made.
    #[error("the key file {} cannot be made: {source}", path.display())]
    Create {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds less than a key; it may have been cut off by a full disk.
    #[error(
        "the key file {} holds {length} bytes and a key has at least {KEY_BYTES}; restore it from a \
         backup, or delete it to have a new one made (everybody signs in again)",
        path.display()
    )]
    TooShort {
        /// The key file.
        path: PathBuf,
        /// What it holds, in bytes.
        length: usize,
    },
    /// The file is something else than a key.
    #[error("the key file {} is longer than {KEY_FILE_MAX_BYTES} bytes: it is not a key", path.display())]
    TooLong {
        /// The key file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_start_makes_a_private_key_and_the_second_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("new/data/key");
        let made = SigningKey::load_or_create(&path).unwrap();
        assert_eq!(made.bytes().len(), KEY_BYTES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::load_or_create(&path).unwrap().bytes(), made.bytes());
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "the draft is gone");
    }

    #[test]
    fn processes_that_start_together_share_one_key() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| SigningKey::load_or_create(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.bytes() == keys[0].bytes()));
    }

    #[test]
    fn a_loser_of_the_race_leaves_the_winner_s_key() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        create(&path, &SigningKey::generate()).unwrap();
        let first = fs::read(&path).unwrap();
        create(&path, &SigningKey::generate()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
    }

    #[test]
    fn a_short_long_or_unreadable_file_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        fs::write(&path, [7; KEY_BYTES - 1]).unwrap();
        let error = SigningKey::load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyError::TooShort { length: 31, .. }));
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");

        fs::write(&path, vec![7; 4097]).unwrap();
        assert!(matches!(SigningKey::load_or_create(&path), Err(KeyError::TooLong { .. })));

        let error = SigningKey::load_or_create(home.path()).unwrap_err();
        assert!(matches!(error, KeyError::Read { .. }), "{error}");

        let error = SigningKey::load_or_create(&path.join("below-a-file")).unwrap_err();
        assert!(error.to_string().contains("below-a-file"), "{error}");
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = SecretString::from("correct horse battery staple");
        assert!(!format!("{:?}", SigningKey::from_secret(&secret)).contains("horse"));
        assert_eq!(SigningKey::from_secret(&secret).bytes(), b"correct horse battery staple");
    }
}
