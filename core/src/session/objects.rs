//! Shared objects as this process has them, and which sessions were told of them.
//!
//! Whoever has an [`Object`] holds it: a user who made it, one who received it, a message. When the last of them lets go, on
//! whatever thread, every session that was told of it takes it back ([`Told`]), so that no peer keeps it for nothing. What a peer
//! keeps of it is no holder ([`Known`]).

mod known;
mod told;

pub(crate) use known::Known;
pub(crate) use told::{Answer, Told};

use crate::error::Error;
use crate::shm::object::{SealedFile, SealedMap};
use crate::sync::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A shared object that is mapped here, made by this process or received.
#[derive(Debug)]
pub(crate) struct Object {
    map: SealedMap,
    /// Its number among all that this process ever had.
    key: u64,
    /// The sessions that were told of it.
    told: Mutex<Vec<Weak<Told>>>,
}

static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

impl Object {
    /// Maps what `file` holds.
    ///
    /// # Errors
    /// As for [`SealedMap::new`].
    pub(crate) fn new(file: Arc<SealedFile>) -> Result<Arc<Self>, Error> {
        let map = SealedMap::new(file)?;
        let key = NEXT_KEY.fetch_add(1, Relaxed);
        Ok(Arc::new(Self { map, key, told: Mutex::default() }))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.map.bytes()
    }

    pub(crate) fn file(&self) -> &SealedFile {
        self.map.file()
    }

    /// Whether this process has it, and is no forked child of the one that does: the child's descriptor is closed.
    pub(super) fn is_ours(&self) -> bool {
        self.map.is_ours()
    }

    /// From now on this session is to be told when the object goes.
    pub(super) fn is_known_by(&self, session: &Arc<Told>) {
        // The list is whole at every step.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|known| known.strong_count() > 0);
        if !told.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(session))) {
            told.push(Arc::downgrade(session));
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // A forked child's copy was never told of to anybody, and the locks may be held by threads that it has not.
        if !self.map.is_ours() {
            return;
        }
        let told = self.told.get_mut().unwrap_or_else(PoisonError::into_inner);
        for session in told.iter().filter_map(Weak::upgrade) {
            session.take_back(self.key);
        }
    }
}
