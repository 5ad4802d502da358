//! What is received, what is written in place, and memory that many processes read: all of it its holder's own.

use crate::failure::{Failure, Outcome};
use crate::options::Patience;
use slipring::{Message, OwnedClaim, OwnedClaimError};

/// A message, a request or a reply that belongs to its holder.
#[derive(Debug)]
pub struct Lease(Message);

impl Lease {
    pub(crate) fn new(message: Message) -> Box<Self> {
        Box::new(Self(message))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn type_id(&self) -> u32 {
        self.0.type_id()
    }

    pub(crate) fn id(&self) -> u32 {
        // Calls have numbers of 32 bits; a message of a Bus has none.
        self.0.correlation_id() as u32
    }

    pub(crate) fn shared_count(&self) -> usize {
        self.0.shared().len()
    }

    pub(crate) fn shared(&self, index: usize) -> Outcome<Box<SharedBuffer>> {
        let object =
            self.0.shared().get(index).ok_or_else(|| Failure::invalid("so many objects did not come with it"))?;
        Ok(Box::new(SharedBuffer(object.clone())))
    }
}

/// Room that belongs to its holder until it is sent.
#[derive(Debug)]
pub struct Claim(Option<OwnedClaim>);

impl Claim {
    pub(crate) fn new(claim: OwnedClaim) -> Box<Self> {
        Box::new(Self(Some(claim)))
    }

    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }

    /// Hands it to what sends it, and takes it back where that fails.
    pub(crate) fn give<T>(&mut self, send: impl FnOnce(OwnedClaim) -> Result<T, OwnedClaimError>) -> Outcome<T> {
        let claim = self.0.take().ok_or_else(|| Failure::invalid("the claim was sent before"))?;
        send(claim).map_err(|error| {
            self.0 = Some(error.claim);
            error.cause.into()
        })
    }
}

/// A shared object that is being written.
#[derive(Debug)]
pub struct SharedBuilder(Option<slipring::SharedBuilder>);

/// Begins a shared object of `len` bytes.
pub(crate) fn build_shared(len: usize, timeout_ns: i64) -> Outcome<Box<SharedBuilder>> {
    let builder = slipring::SharedBuffer::build_until(len, Patience::deadline(timeout_ns)?)?;
    Ok(Box::new(SharedBuilder(Some(builder))))
}

impl SharedBuilder {
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }

    pub(crate) fn seal(&mut self) -> Outcome<Box<SharedBuffer>> {
        let builder = self.0.take().ok_or_else(|| Failure::invalid("the object was sealed before"))?;
        Ok(Box::new(SharedBuffer(builder.seal()?)))
    }
}

/// Memory that never changes.
#[derive(Debug)]
pub struct SharedBuffer(pub(crate) slipring::SharedBuffer);

impl SharedBuffer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id()
    }

    pub(crate) fn share(&self) -> Box<Self> {
        Box::new(Self(self.0.clone()))
    }
}
