//! A claim is exclusive: a second one would be the same bytes.

fn two(bus: &mut slipring::Bus) -> Result<(), slipring::Cause> {
    let one = bus.claim(8)?;
    let two = bus.claim(8)?;
    drop((one, two));
    Ok(())
}

fn main() {}
