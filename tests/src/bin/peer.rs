//! The second process of a test: obeys the lines that come on its standard input, and answers each with one.
//!
//! It ends with its input, and with the thread that started it. The orders are those of `slipring_tests::script`.

use slipring_tests::{alone, script};

fn main() {
    alone::end_with_parent();
    script::run(std::io::stdin().lock());
}
