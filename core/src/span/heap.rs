//! Heap memory for spans, so that the protocols run under Miri, ThreadSanitizer and proptest.

use std::alloc::Layout;
use std::ptr::NonNull;

/// Zeroed heap memory, aligned as a segment is.
pub(super) struct HeapBlock {
    pub(super) base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a block owns its memory and offers no access to it but through spans.
unsafe impl Send for HeapBlock {}
// SAFETY: as for `Send`.
unsafe impl Sync for HeapBlock {}

impl HeapBlock {
    pub(super) fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len, 128).expect("a small size and a fixed alignment");
        assert!(len > 0, "a span of nothing");
        // SAFETY: the layout's size is not zero.
        let base = unsafe { std::alloc::alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| std::alloc::handle_alloc_error(layout));
        Self { base, layout }
    }
}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this very layout, and freed once.
        unsafe { std::alloc::dealloc(self.base.as_ptr(), self.layout) };
    }
}
