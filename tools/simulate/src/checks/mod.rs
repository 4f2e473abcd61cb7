//! The checks of a run. They use only the input and the output of the system, and no intermediate state.

pub(crate) mod dead_letter;
pub(crate) mod final_state;
pub(crate) mod lag;
pub(crate) mod replies;
