//! Which area serves a request: a tree of maxima over the **reach** of the areas, in their order of preference.
//!
//! An inner node knows the largest reach below it, so the first area that reaches far enough is found by going down
//! once, and a change goes up only as far as it makes a difference. However many areas are full, nobody walks past
//! them.

/// The first leaf is `nodes[leaves]`; the children of node `n` are `2n` and `2n + 1`; the root is 1.
#[cfg_attr(test, derive(Clone, PartialEq))]
#[derive(Debug)]
pub(super) struct Ready {
    nodes: Vec<u8>,
    /// A power of two. Those behind the last area reach nothing.
    leaves: usize,
}

impl Ready {
    /// A tree over as many areas as `reaches` has.
    pub(super) fn new(reaches: impl ExactSizeIterator<Item = u8>) -> Self {
        let leaves = reaches.len().next_power_of_two();
        let mut nodes = vec![0; 2 * leaves];
        for (node, reach) in nodes[leaves..].iter_mut().zip(reaches) {
            *node = reach;
        }
        for node in (1..leaves).rev() {
            nodes[node] = nodes[2 * node].max(nodes[2 * node + 1]);
        }
        Self { nodes, leaves }
    }

    /// The first area whose reach is above `order`.
    #[inline]
    pub(super) fn first_above(&self, order: u8) -> Option<usize> {
        let mut node = 1;
        if self.nodes[node] <= order {
            return None;
        }
        while node < self.leaves {
            node *= 2;
            if self.nodes[node] <= order {
                node += 1;
            }
        }
        Some(node - self.leaves)
    }

    #[cfg(test)]
    pub(super) fn reach(&self, area: usize) -> u8 {
        self.nodes[self.leaves + area]
    }

    #[inline]
    pub(super) fn set(&mut self, area: usize, reach: u8) {
        let mut node = self.leaves + area;
        let mut largest = reach;
        while self.nodes[node] != largest {
            self.nodes[node] = largest;
            if node == 1 {
                return;
            }
            largest = largest.max(self.nodes[node ^ 1]);
            node /= 2;
        }
    }
}
