//! `floor`: the floors alone, as this machine has them now.

use anyhow::Result;

use crate::bench::Bench;
use crate::cli::FloorArgs;
use crate::lane::{Lane, System};
use crate::twin;

pub(crate) fn measure(args: &FloorArgs) -> Result<()> {
    let mut bench = Bench::new(&args.common)?;
    if let Some(program) = &args.twin {
        return twin::compare(&bench, program, args.payload);
    }
    let systems = [System::FloorF, System::FloorW, System::FloorB, System::FloorB0, System::FloorS];
    let lanes = systems.map(|system| Lane::floor(system, args.payload));
    for measured in bench.measure(&lanes)? {
        bench.show(measured.row("floor"))?;
    }
    bench.finish()
}
