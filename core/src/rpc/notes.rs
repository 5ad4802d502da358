//! Notes that are being looked at. Their places are free again already, so their payloads stand here.

use super::body::Body;

/// Buffers for the payloads of notes: one for each that is looked at, which are as many as handlers nest.
#[derive(Debug, Default)]
pub(super) struct Notes {
    bodies: Vec<Body>,
    free: Vec<u32>,
    /// The notes that are set aside: their numbers, and by which ticket.
    aside: Vec<(u32, u64)>,
    /// Notes set aside so far.
    tickets: u64,
}

impl Notes {
    /// Moves the payload out of `from`, which gets an empty one. The number by which it is found here.
    pub(super) fn open(&mut self, from: &mut Body) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.bodies.push(Body::default());
            self.bodies.len() as u32 - 1
        });
        std::mem::swap(&mut self.bodies[number as usize], from);
        number
    }

    pub(super) fn body(&self, number: u32) -> &Body {
        &self.bodies[number as usize]
    }

    pub(super) fn body_mut(&mut self, number: u32) -> &mut Body {
        &mut self.bodies[number as usize]
    }

    /// Sets a note aside. The number of its ticket.
    pub(super) fn set_aside(&mut self, number: u32) -> u64 {
        self.tickets += 1;
        self.aside.push((number, self.tickets));
        self.tickets
    }

    /// The number of the note that was set aside by this ticket.
    pub(super) fn take_up(&mut self, ticket: u64) -> Option<u32> {
        let at = self.aside.iter().position(|&(_, of)| of == ticket)?;
        Some(self.aside.swap_remove(at).0)
    }

    /// Nobody looks at it any more.
    pub(super) fn close(&mut self, number: u32) {
        self.bodies[number as usize].clear();
        self.free.push(number);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_serves_one_note_at_a_time() {
        let (mut notes, mut place) = (Notes::default(), Body::default());
        let outer = notes.open(&mut place);
        let inner = notes.open(&mut place);
        assert_ne!(outer, inner);
        notes.close(inner);
        assert_eq!(notes.open(&mut place), inner, "the free one again");
        assert_eq!(notes.bodies.len(), 2);
    }
}
