//! Part (g): the file once more, as one table in shared memory that four processes read where it is.

use anyhow::Result;

use crate::fault::Fault;
use crate::plan::{Api, Backend, BusPlan, Counters, DEFAULT_INLINE, DEFAULT_RPC_RING, Fence, Trust, Wait};
use crate::run::Tour;
use crate::run::file::Real;
use crate::shared::readers::{Source, read_by_many};
use crate::table::{Table, amount, time};

/// Processes that read.
const READERS: usize = 4;
/// The most of the file that is made a table.
const MOST: u64 = 256 << 20;
/// How much more than one copy the pages may take in all processes together: each process's part is told in whole KiB.
const TOLERANCE: f64 = 1.01;

/// Has it read, and shows what each process had of it.
pub(crate) fn part(tour: &Tour, real: &Real) -> Result<()> {
    let (wait, api, trust, fence) = (Wait::Adaptive, Api::Copy, Trust::SameUser, Fence::Auto);
    let bus = BusPlan {
        wait,
        api,
        backend: Backend::Memfd,
        trust,
        fence,
        counters: Counters::On,
        ring: DEFAULT_RPC_RING,
        inline: DEFAULT_INLINE,
    };
    let source = Source::File { path: real.path.clone(), most: MOST };
    let found = read_by_many(&tour.runtime, &bus, source, READERS)?;
    let mut table = Table::new(&["", "sum of all words", "at", "asked again, the same address, in"]);
    for (number, view) in found.views.iter().enumerate() {
        let (name, again) = match number {
            0 => ("owner".to_owned(), String::new()),
            number => (format!("reader {number}"), time(view.again.as_nanos() as f64)),
        };
        table.line(vec![name, format!("{:016x}", view.sum), format!("{:#x}", view.address), again]);
    }
    println!("{table}");
    let len = found.views[0].len as f64;
    let copies = found.memory.pss as f64 / len;
    println!(
        "  {} mapped {} times, {} of memory (PSS of all processes): {copies:.2} copies\n",
        amount(len, "B"),
        found.views.len(),
        amount(found.memory.pss as f64, "B")
    );
    let page_rounded = (found.views[0].len.next_multiple_of(1 << 12)) as f64;
    if found.memory.pss as f64 <= page_rounded * TOLERANCE {
        return Ok(());
    }
    Err(Fault::Damaged(format!("{copies:.2} copies of a table of which there should be one")).into())
}
