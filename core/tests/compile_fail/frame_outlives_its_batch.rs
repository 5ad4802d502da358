//! The frames of a batch are given back together.

fn kept(bus: &mut slipring::Bus) -> Result<u32, slipring::Cause> {
    let batch = bus.drain(8)?;
    let frame = batch.iter().next();
    drop(batch);
    Ok(frame.map_or(0, |frame| frame.type_id()))
}

fn main() {}
