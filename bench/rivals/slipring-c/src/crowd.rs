//! The sessions of many clients, waited for by one poller.

use std::ffi::CString;
use std::ptr::null_mut;

use anyhow::{Result, ensure};
use slipring_bench_kit::rival::Job;

use crate::abi::*;
use crate::ends::{Rpc, check, config, nanoseconds};

/// How many are told of at once.
const AT_ONCE: usize = 64;

pub(crate) struct Crowd {
    poller: Handle,
    sessions: Vec<Rpc>,
    ready: Vec<u64>,
}

impl Crowd {
    /// Waits until all clients are there.
    pub(crate) fn gather(name: &str, job: &Job) -> Result<Self> {
        let (name, config) = (CString::new(name)?, config(job)?);
        let (mut limit, mut listener) = (0, null_mut());
        // SAFETY: a place for a number.
        check(unsafe { slipring_raise_descriptor_limit(&mut limit) }, "prepare for many sessions")?;
        // SAFETY: a text that ends, a config that was begun, and a place for a handle.
        check(unsafe { slipring_listener_bind(name.as_ptr(), &config, &mut listener) }, "listen for clients")?;
        let mut crowd = Self { poller: null_mut(), sessions: Vec::new(), ready: Vec::new() };
        // SAFETY: a config that was begun, and a place for a handle.
        check(unsafe { slipring_poller_new(&config, &mut crowd.poller) }, "make a poller")?;
        for token in 0..job.clients {
            let mut rpc = null_mut();
            // SAFETY: a listener that is open, and a place for a handle.
            let accepted = unsafe { slipring_listener_accept_rpc(listener, nanoseconds(job.patience), &mut rpc) };
            check(accepted, "accept a client")?;
            let rpc = Rpc::of(rpc);
            // SAFETY: handles that are open.
            check(unsafe { slipring_poller_add_rpc(crowd.poller, rpc.handle(), token as u64) }, "add a client")?;
            crowd.sessions.push(rpc);
        }
        // SAFETY: a handle that is ours, for the last time.
        check(unsafe { slipring_listener_free(listener) }, "give the name back")?;
        Ok(crowd)
    }

    /// The next session that has something to do.
    pub(crate) fn next(&mut self) -> Result<&Rpc> {
        let token = loop {
            if let Some(token) = self.ready.pop() {
                break token as usize;
            }
            let (mut tokens, mut count) = ([0; AT_ONCE], 0);
            // SAFETY: a handle that is open, room for as many tokens as are told, and a place for a number.
            let told = unsafe { slipring_poller_wait(self.poller, FOREVER, tokens.as_mut_ptr(), AT_ONCE, &mut count) };
            check(told, "wait for clients")?;
            self.ready.extend(&tokens[..count]);
        };
        ensure!(token < self.sessions.len(), "a session is gone");
        Ok(&self.sessions[token])
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // SAFETY: a handle that is ours, for the last time; what is in it is closed with it, and freed after it.
        unsafe { slipring_poller_free(self.poller) };
    }
}
