//! A polled frame is given back when its handler returns.

fn kept(bus: &mut slipring::Bus) -> Result<usize, slipring::Cause> {
    let mut kept: &[u8] = &[];
    bus.poll(8, |frame| kept = frame.bytes())?;
    Ok(kept.len())
}

fn main() {}
