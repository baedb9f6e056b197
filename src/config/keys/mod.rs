//! What the tables of the configuration file say, a file for each table.

pub mod forward;
pub mod limits;
pub mod listener;
pub mod route;
pub mod top;
