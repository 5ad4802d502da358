//! A lease keeps its bus from being closed.

fn last(mut bus: slipring::Bus) -> Result<(), slipring::Cause> {
    let lease = bus.recv()?;
    bus.close(std::time::Duration::ZERO)?;
    drop(lease);
    Ok(())
}

fn main() {}
