//! ZeroMQ over `ipc://` as a rival: PUSH and PULL for messages, REQ and REP for calls, as its own benchmarks have them.
//!
//! A process has one context with one I/O thread, the library's default; that thread does all the talking, on the CPU of the
//! end that it works for, and sleeps in between. So there is nothing to spin on: an end that looked without a pause would take
//! the processor from the thread that it waits for. `park` and `adaptive` are the same wait. Messages are written in place, into what the library allocates for each; they are read in place as well. The
//! bound on queued messages is lowered for long ones, for it counts messages, not bytes.

use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use slipring_bench_kit::fault::Fault;
use slipring_bench_kit::rival::{End, Job, Rival, Role, Wait, Work, main as host};
use zmq::{Context, Message, Socket, SocketType};

/// The library's own bound on messages in one queue, and bytes that they may come to.
const USUAL_QUEUE: usize = 1000;
const LONGEST_QUEUE: usize = 32 << 20;

/// How long a closed socket goes on with what was not sent yet.
const LINGER: Duration = Duration::from_secs(1);

/// A process has one context.
static CONTEXT: LazyLock<Context> = LazyLock::new(Context::new);

struct ZeroMq;

/// The sockets that one side has. For calls both directions are the same one.
struct Sockets {
    out: Option<Socket>,
    back: Option<Socket>,
}

fn main() -> ExitCode {
    host::<ZeroMq>()
}

impl Rival for ZeroMq {
    const NAME: &'static str = "zeromq";

    type End = Sockets;

    fn version() -> String {
        let (major, minor, patch) = zmq::version();
        format!("{major}.{minor}.{patch}")
    }

    fn supports(job: &Job) -> Result<(), String> {
        if job.wait == Wait::Spin { Err("its I/O thread always sleeps".into()) } else { Ok(()) }
    }

    /// The following side binds, and the leading one connects: the library itself waits until there is somebody.
    fn open(job: &Job) -> Result<Sockets> {
        let lead = job.role == Role::Lead;
        if matches!(job.work, Work::Call | Work::FanIn) {
            let kind = if lead { SocketType::REQ } else { SocketType::REP };
            return Ok(Sockets { out: None, back: Some(socket(job, kind, "calls")?) });
        }
        let ends = |out: bool, part| socket(job, if out { SocketType::PUSH } else { SocketType::PULL }, part);
        let there = ends(lead, "there")?;
        let back = (job.work == Work::RoundTrip).then(|| ends(!lead, "back")).transpose()?;
        Ok(if lead { Sockets { out: Some(there), back } } else { Sockets { out: back, back: Some(there) } })
    }
}

/// Makes a socket of `kind` and binds or connects it to the address `part` of `job`.
fn socket(job: &Job, kind: SocketType, part: &str) -> Result<Socket> {
    let socket = CONTEXT.socket(kind).context("make a socket")?;
    let patience = milliseconds(job.patience)?;
    let queue = i32::try_from((LONGEST_QUEUE / job.payload.max(1)).clamp(2, USUAL_QUEUE))?;
    socket.set_rcvtimeo(patience).context("bound the wait")?;
    socket.set_sndtimeo(patience).context("bound the wait")?;
    socket.set_linger(milliseconds(LINGER)?).context("set how long to linger")?;
    socket.set_sndhwm(queue).context("bound the queue")?;
    socket.set_rcvhwm(queue).context("bound the queue")?;
    let path = job.path().with_extension(part);
    let address = format!("ipc://{}", path.to_str().context("the path of the socket is not text")?);
    if job.role == Role::Lead {
        socket.connect(&address).with_context(|| format!("connect to {address}"))?;
    } else {
        socket.bind(&address).with_context(|| format!("bind {address}"))?;
    }
    Ok(socket)
}

fn milliseconds(time: Duration) -> Result<i32> {
    i32::try_from(time.as_millis()).context("a wait longer than the library can")
}

impl End for Sockets {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let Some(out) = &self.out else { bail!("this end sends no messages") };
        put(out, len, fill)
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        Ok(read(&take(self.back()?)?))
    }

    #[inline]
    fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let socket = self.back()?;
        put(socket, len, fill)?;
        Ok(read(&take(socket)?))
    }

    #[inline]
    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        let socket = self.back()?;
        let found = read(&take(socket)?);
        put(socket, reply, |bytes| fill(bytes, &found))?;
        Ok(found)
    }
}

impl Sockets {
    fn back(&self) -> Result<&Socket> {
        self.back.as_ref().context("this end only sends")
    }
}

fn put(socket: &Socket, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
    let mut message = Message::with_size(len);
    fill(&mut message);
    socket.send(message, 0).map_err(|error| failed("send", error))
}

fn take(socket: &Socket) -> Result<Message> {
    socket.recv_msg(0).map_err(|error| failed("receive", error))
}

/// The library does not tell that the peer is gone: it waits for another one, up to the patience of the job.
#[cold]
fn failed(what: &str, error: zmq::Error) -> anyhow::Error {
    if error == zmq::Error::EAGAIN {
        return Fault::Died(format!("{what}: nobody was there in time")).into();
    }
    anyhow::Error::new(error).context(what.to_owned())
}
