//! A program of Rust and C++ in one build. The C++ half (`peer.cpp`) sends and serves through the bridge `slipring-cxx`; the Rust half
//! is at the other ends, in a thread beside it, so that the whole fits into one program.
//!
//! `cargo run -p slipring-examples-cxx`

#![expect(unreachable_pub, reason = "cxx makes what it generates public")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "in what cxx generates")]

use slipring::{Bus, Cause, Deadline, Options, RpcBus};
// What C++ calls is in it; without this line it would not be linked.
use slipring_cxx as _;
use std::error::Error;
use std::thread;
use std::time::Duration;

#[cxx::bridge(namespace = "peer")]
mod ffi {
    unsafe extern "C++" {
        include!("slipring-examples-cxx/src/peer.h");

        fn send_messages(name: &str) -> Result<()>;
        fn serve_calls(name: &str) -> Result<u32>;
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

fn main() -> Result<(), Box<dyn Error>> {
    let name = format!("cxx-{}", std::process::id());
    thread::scope(|scope| {
        let sender = scope.spawn(|| ffi::send_messages(&name));
        receive(&name)?;
        sender.join().expect("C++ throws, and does not panic")?;

        let server = scope.spawn(|| ffi::serve_calls(&name));
        call(&name)?;
        let served = server.join().expect("C++ throws, and does not panic")?;
        println!("C++ served {served} calls");
        Ok(())
    })
}

/// Reads what C++ sends.
fn receive(name: &str) -> Result<(), Box<dyn Error>> {
    let mut bus = Bus::listen_until(name, &Options::default(), soon())?;
    loop {
        match bus.recv_until(soon()) {
            Ok(lease) if lease.type_id() == 2 => {
                let right = (0..).zip(&lease[..]).all(|(index, &byte): (usize, _)| byte == index as u8);
                println!("{} bytes that C++ wrote in place; right: {right}", lease.len());
            }
            Ok(lease) if lease.type_id() == 3 => {
                println!(
                    "{}: {} sevens",
                    str::from_utf8(&lease)?,
                    lease.shared()[0].iter().filter(|&&b| b == 7).count()
                );
            }
            Ok(lease) => println!("{}", str::from_utf8(&lease)?),
            Err(Cause::Closed) => return Ok(()),
            Err(end) => return Err(end.into()),
        }
    }
}

/// Asks C++.
fn call(name: &str) -> Result<(), Box<dyn Error>> {
    let mut rpc = RpcBus::connect_until(name, &Options::default(), soon())?;
    let reply = rpc.request_until(1, &[3; 100_000], soon())?;
    println!("the sum is {}", u64::from_le_bytes(reply[..].try_into()?));
    drop(reply);
    let refused = rpc.request_until(2, &[], soon()).map(drop).expect_err("nobody knows what 2 is");
    println!("call 2: {refused}");
    rpc.close(Duration::from_secs(10))?;
    Ok(())
}
