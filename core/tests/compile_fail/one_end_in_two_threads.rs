//! An end belongs to one thread at a time.

fn both(bus: &mut slipring::Bus) {
    let here = || bus.publish(1, b"here").is_ok();
    let there = || bus.publish(2, b"there").is_ok();
    std::thread::scope(|scope| {
        scope.spawn(here);
        scope.spawn(there);
    });
}

fn main() {}
