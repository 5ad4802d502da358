//! One event loop, many sessions: a listener and its sessions watched by `epoll`, as any foreign event loop would.
//!
//! The rule is the same for every descriptor here: call the `try_` form until it answers `Empty`, once at the start and then
//! whenever the descriptor is readable. That answer is what arms the descriptor.
//!
//! `cargo run -p slipring-examples --example epoll`

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use slipring::{Bus, Cause, Deadline, Listener, Options};
use std::collections::BTreeMap;
use std::error::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

const CLIENTS: u64 = 3;
const MESSAGES: u64 = 4;
/// The number under which the listener is watched; sessions count up from it.
const LISTENER: u64 = 0;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(name), Some(who)) => client(&name, who.parse()?),
        _ => serve_all(),
    }
}

fn serve_all() -> Result<(), Box<dyn Error>> {
    let name = format!("epoll-{}", std::process::id());
    let mut server = Server::bind(&name)?;
    let program = std::env::current_exe()?;
    let start = |who: u64| Command::new(&program).args([name.as_str(), &who.to_string()]).spawn();
    let mut clients = (1..=CLIENTS).map(start).collect::<Result<Vec<_>, _>>()?;
    while server.accepted < CLIENTS || !server.sessions.is_empty() {
        server.turn()?;
    }
    println!("{} sessions, {} messages", server.accepted, server.heard);
    for client in &mut clients {
        if !client.wait()?.success() {
            return Err("a client failed".into());
        }
    }
    if server.heard == CLIENTS * MESSAGES { Ok(()) } else { Err("messages are missing".into()) }
}

struct Server {
    epoll: OwnedFd,
    listener: Listener,
    sessions: BTreeMap<u64, Bus>,
    accepted: u64,
    heard: u64,
}

impl Server {
    fn bind(name: &str) -> Result<Self, Box<dyn Error>> {
        let listener = Listener::bind(name, &Options::default())?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self { epoll, listener, sessions: BTreeMap::new(), accepted: 0, heard: 0 })
    }

    /// One turn of the loop: waits for events, and attends to each.
    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let patience = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
        let mut events = Vec::with_capacity(16);
        if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience))? == 0 {
            return Err("nothing happened for five seconds".into());
        }
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept()?,
                session => self.hear(session)?,
            }
        }
        Ok(())
    }

    /// Takes every session that stands, and watches it.
    fn accept(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let session = match self.listener.try_accept_bus() {
                Ok(session) => session,
                Err(error) if error.cause() == Cause::Empty => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.accepted += 1;
            let token = self.accepted;
            epoll::add(&self.epoll, &session, EventData::new_u64(token), EventFlags::IN)?;
            self.sessions.insert(token, session);
            // Nothing wakes a descriptor that was never armed.
            self.hear(token)?;
        }
    }

    /// Takes everything that has come in one session, and lets it go when its peer has closed.
    fn hear(&mut self, token: u64) -> Result<(), Box<dyn Error>> {
        let Some(session) = self.sessions.get_mut(&token) else { return Ok(()) };
        loop {
            match session.try_recv() {
                Ok(lease) => println!("client {} says {:?}", lease.type_id(), std::str::from_utf8(&lease)?),
                Err(Cause::Empty) => return Ok(()),
                Err(Cause::Closed) => break,
                Err(cause) => return Err(cause.into()),
            }
            self.heard += 1;
        }
        println!("session {token} is closed");
        epoll::delete(&self.epoll, session.as_fd())?;
        self.sessions.remove(&token);
        Ok(())
    }
}

fn client(name: &str, who: u32) -> Result<(), Box<dyn Error>> {
    let mut bus = Bus::connect_until(name, &Options::default(), Deadline::after(Duration::from_secs(5)))?;
    for message in 1..=MESSAGES {
        std::thread::sleep(Duration::from_millis(10) * who);
        bus.publish(who, format!("message {message}").as_bytes())?;
    }
    bus.close(Duration::from_secs(5))?;
    Ok(())
}
