//! Carries a merge plan out: builds its commits off to the side, has them verified where that is asked for, and moves
//! the target once, with the checkout that has it. What it is about to do is written down before, so that whatever ends
//! it, the target is where it was or where it was to be, and the next command knows. Called by `merge` and `undo`; it
//! prints nothing.
