//! A lease ends with the next receive.

fn two(bus: &mut slipring::Bus) -> Result<(), slipring::Cause> {
    let one = bus.recv()?;
    let two = bus.recv()?;
    drop((one, two));
    Ok(())
}

fn main() {}
