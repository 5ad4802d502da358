//! While a claim is open nothing else goes out.

fn both(bus: &mut slipring::Bus) -> Result<(), slipring::Cause> {
    let claim = bus.claim(8)?;
    bus.publish(1, b"in between")?;
    drop(claim);
    Ok(())
}

fn main() {}
