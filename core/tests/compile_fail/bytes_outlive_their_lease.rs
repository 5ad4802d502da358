//! Bytes that were given back are the sender's.

fn first(bus: &mut slipring::Bus) -> Result<u8, slipring::Cause> {
    let lease = bus.recv()?;
    let bytes = &lease[..];
    drop(lease);
    Ok(bytes[0])
}

fn main() {}
