//! Stream sockets: how either end of a job is opened over a kind of them.

use std::fs;
use std::io::{Error, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Context, Result};
use rustix::net::sockopt;
use slipring_bench_kit::rival::{End, Job, Role, Wait, Work};

use crate::bytes::{Bytes, appear};
use crate::crowd::Crowd;
use crate::kernel::{buffer_for, limit};

/// A kind of stream socket.
pub trait Socket: Read + Write + AsFd + Sized {
    /// What waits for clients.
    type Listener;

    /// Listens for the clients of `job`.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    fn listen(job: &Job) -> Result<Self::Listener>;

    /// Waits for a client.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    fn accept(listener: &Self::Listener) -> Result<Self, Error>;

    /// Connects to the listening end of `job`, if it is there.
    ///
    /// # Errors
    ///
    /// Those of the kernel; [`NotFound`](std::io::ErrorKind::NotFound) or
    /// [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused) if nobody listens yet.
    fn connect(job: &Job) -> Result<Self, Error>;

    /// Another descriptor of the same socket.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    fn twin(&self) -> Result<Self, Error>;
}

impl Socket for UnixStream {
    type Listener = UnixListener;

    fn listen(job: &Job) -> Result<UnixListener> {
        UnixListener::bind(job.path()).context("bind the socket")
    }

    fn accept(listener: &UnixListener) -> Result<Self, Error> {
        Ok(listener.accept()?.0)
    }

    fn connect(job: &Job) -> Result<Self, Error> {
        Self::connect(job.path())
    }

    fn twin(&self) -> Result<Self, Error> {
        self.try_clone()
    }
}

/// The port is the kernel's to choose; the listening end writes it into a file.
impl Socket for TcpStream {
    type Listener = TcpListener;

    fn listen(job: &Job) -> Result<TcpListener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind the socket")?;
        let port = listener.local_addr().context("ask for the port")?.port();
        let (written, seen) = (job.path().with_extension("new"), job.path());
        fs::write(&written, port.to_string()).context("write the port")?;
        fs::rename(&written, &seen).context("tell the port")?;
        Ok(listener)
    }

    fn accept(listener: &TcpListener) -> Result<Self, Error> {
        let socket = listener.accept()?.0;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    fn connect(job: &Job) -> Result<Self, Error> {
        let port = fs::read_to_string(job.path())?.parse().map_err(Error::other)?;
        let socket = Self::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    fn twin(&self) -> Result<Self, Error> {
        self.try_clone()
    }
}

/// An open end: one stream, or those of many clients.
pub enum Line<S> {
    /// One.
    Alone(Bytes<S>),
    /// Many.
    Crowd(Crowd<S>),
}

/// Opens the end of `job` that this process has.
///
/// # Errors
///
/// If the other end does not appear, or the kernel refuses.
pub fn open<S: Socket>(job: &Job) -> Result<Line<S>> {
    if job.role == Role::Lead {
        return Ok(Line::Alone(tuned(appear(job.patience, || S::connect(job))?, job)?));
    }
    let listener = S::listen(job)?;
    let accept = || tuned(S::accept(&listener).context("accept a client")?, job);
    if job.work != Work::FanIn {
        return Ok(Line::Alone(accept()?));
    }
    let members = (0..job.clients).map(|_| accept()).collect::<Result<Vec<Bytes<S>>>>()?;
    Ok(Line::Crowd(Crowd::new(members, job)?))
}

/// Sets how the socket waits and how much it holds.
fn tuned<S: Socket>(socket: S, job: &Job) -> Result<Bytes<S>> {
    rustix::io::ioctl_fionbio(&socket, job.wait == Wait::Spin).context("set how the socket waits")?;
    for way in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        sockopt::set_socket_timeout(&socket, way, Some(job.patience)).context("bound the wait")?;
    }
    if let Some(size) = buffer_for(job.payload.max(job.reply), limit("net/core/wmem_default", 0)) {
        sockopt::set_socket_send_buffer_size(&socket, size).context("set the buffer")?;
        sockopt::set_socket_recv_buffer_size(&socket, size).context("set the buffer")?;
    }
    let out = socket.twin().context("duplicate the socket")?;
    Ok(Bytes::new(out, socket, job))
}

impl<S: Socket> End for Line<S> {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        match self {
            Self::Alone(bytes) => bytes.send(len, fill),
            Self::Crowd(crowd) => crowd.send(len, fill),
        }
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self {
            Self::Alone(bytes) => bytes.receive(read),
            Self::Crowd(crowd) => crowd.receive(read),
        }
    }

    #[inline]
    fn receive_some(&mut self, each: &mut impl FnMut(&[u8])) -> Result<()> {
        match self {
            Self::Alone(bytes) => bytes.receive_some(each),
            Self::Crowd(crowd) => crowd.receive_some(each),
        }
    }

    #[inline]
    fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self {
            Self::Alone(bytes) => bytes.request(len, fill, read),
            Self::Crowd(crowd) => crowd.request(len, fill, read),
        }
    }

    #[inline]
    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        match self {
            Self::Alone(bytes) => bytes.serve(reply, read, fill),
            Self::Crowd(crowd) => crowd.serve(reply, read, fill),
        }
    }
}
