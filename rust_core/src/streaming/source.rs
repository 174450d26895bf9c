//! The files that are read: streams of records, and media below a pool's folder. Nothing outside the root is opened.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::fields::Fields;
use crate::record::Encoding;

/// Files that are open at once; a manifest may name thousands.
const MOST_OPEN: usize = 128;

/// A file of a pool: where its records are, how they are read, and where the media they name lie.
#[derive(Debug)]
pub struct Source {
    /// How messages name it.
    pub name: String,
    pub stream: PathBuf,
    /// How long the stream was when it was looked at.
    pub size: u64,
    pub encoding: Encoding,
    pub fields: Fields,
    pub media: PathBuf,
}

/// The files of a reader that are open, those used last.
#[derive(Debug, Default)]
pub struct Handles {
    open: Mutex<Vec<(u32, Arc<File>)>>,
}

impl Handles {
    /// The stream of a source. One that is not as long as it was is another file.
    pub fn get(&self, number: u32, source: &Source) -> Result<Arc<File>, String> {
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = open.iter().position(|(of, _)| *of == number) {
                // The one used last is last, so that the first is the one to close.
                if at + MOST_OPEN / 2 < open.len() {
                    let found = open.remove(at);
                    open.push(found);
                    return Ok(Arc::clone(&open[open.len() - 1].1));
                }
                return Ok(Arc::clone(&open[at].1));
            }
        }
        let file = File::open(&source.stream).map_err(|error| plain(&error))?;
        let size = file.metadata().map_err(|error| plain(&error))?.len();
        if size != source.size {
            return Err(format!("{} bytes where there were {}", grouped(size), grouped(source.size)));
        }
        let file = Arc::new(file);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST_OPEN {
            open.remove(0);
        }
        open.push((number, Arc::clone(&file)));
        Ok(file)
    }
}

/// Where media may lie: below the root, with folders asked once where they lead.
#[derive(Debug)]
pub struct Root {
    real: PathBuf,
    folders: RwLock<BTreeMap<PathBuf, bool>>,
}

impl Root {
    pub fn new(root: &Path) -> Self {
        let real = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Self { real, folders: RwLock::default() }
    }

    /// The file that a record names, or why it may not be opened.
    pub fn media(&self, folder: &Path, reference: &str) -> Result<PathBuf, String> {
        let named = Path::new(reference);
        let odd = named.is_absolute()
            || named.components().any(|part| matches!(part, Component::ParentDir))
            || reference.contains("://")
            || reference.contains('\0');
        if odd {
            return Err("a media reference that leads out of the pool's media folder".to_owned());
        }
        let path = folder.join(named);
        let parent = path.parent().unwrap_or(folder);
        if self.folder_leads_out(parent) || (path.is_symlink() && self.leads_out(&path)) {
            return Err("a link that leads out of the root".to_owned());
        }
        Ok(path)
    }

    fn folder_leads_out(&self, folder: &Path) -> bool {
        if let Some(known) = self.folders.read().unwrap_or_else(PoisonError::into_inner).get(folder) {
            return *known;
        }
        let found = self.leads_out(folder);
        self.folders.write().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned(), found);
        found
    }

    /// Whether a path ends outside. One that leads nowhere cannot be opened either.
    fn leads_out(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|real| !real.starts_with(&self.real))
    }
}

/// What went wrong, without the number that Rust puts behind it.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A number for people: `1,234`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn what_leads_out_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        std::fs::create_dir_all(root.join("media/deep")).unwrap();
        std::fs::create_dir(place.path().join("outside")).unwrap();
        std::fs::write(place.path().join("outside/a.png"), b"").unwrap();
        std::os::unix::fs::symlink(place.path().join("outside"), root.join("media/out")).unwrap();
        std::os::unix::fs::symlink(place.path().join("outside/a.png"), root.join("media/a.png")).unwrap();
        std::os::unix::fs::symlink(root.join("media/deep"), root.join("media/in")).unwrap();
        let found = Root::new(&root);
        let media = root.join("media");
        for reference in ["../x", "deep/../../x", "/etc/passwd", "https://a/b.png", "a\0b", "out/a.png", "a.png"] {
            assert!(found.media(&media, reference).is_err(), "{reference}");
        }
        for reference in ["b.png", "deep/b.png", "in/b.png", "nowhere/b.png"] {
            assert_eq!(found.media(&media, reference), Ok(media.join(reference)));
        }
    }
}
