//! How this process was started: [`Launch`], with the program file, the sockets that came with it,
//! and the process that it takes over from, if there is one.

use crate::control::admin::AdminListener;
use crate::control::notify::Notifier;
use crate::control::predecessor::{HANDED_OVER, Predecessor};
use crate::control::program::Program;
use crate::net::activation::Inherited;
use crate::telemetry::targets::SERVER;
use std::env;
use std::io;
use std::mem;

/// How this process was started.
#[derive(Debug, Default)]
pub struct Launch {
    pub(super) program: Program,
    pub(super) inherited: Inherited,
    pub(super) predecessor: Option<Predecessor>,
}

impl Launch {
    /// As the environment of this process says. To be called once, before there is a second thread
    /// and before stdin is read, because a predecessor sends the sockets ahead of what it was given
    /// on stdin itself.
    ///
    /// # Errors
    /// The sockets of a predecessor do not arrive, or systemd's are fewer than it says.
    pub fn of_this_process() -> io::Result<Self> {
        let program = Program::of_this_process();
        if env::var_os(HANDED_OVER).is_none() {
            let inherited = Inherited::from_systemd()?;
            return Ok(Self { program, inherited, predecessor: None });
        }
        let (predecessor, descriptors) = Predecessor::on_stdin().map_err(|error| {
            let advice = "unset NARROWS_HANDED_OVER, which only a process that hands over sets";
            io::Error::other(format!("cannot take over: {error}; {advice}"))
        })?;
        let inherited = Inherited::new(descriptors);
        Ok(Self { program, inherited, predecessor: Some(predecessor) })
    }

    /// With the configuration that was read from stdin, for a new process that takes over.
    pub fn with_stdin(mut self, text: Option<&str>) -> Self {
        self.program.stdin = text.unwrap_or_default().to_owned();
        self
    }
}

/// What a process that serves still has to say about its start, and to whom.
pub(super) struct Relief {
    predecessor: Option<Predecessor>,
    /// Numbers of the sockets that are not used here.
    unused: Vec<usize>,
    /// The admin listener, if it does not answer yet.
    pub(super) admin: Option<AdminListener>,
}

impl Relief {
    /// Closes what is left of `inherited`, and logs it.
    pub(super) fn new(predecessor: Option<Predecessor>, mut inherited: Inherited) -> Self {
        for what in mem::take(&mut inherited.refused) {
            tracing::warn!(target: SERVER, what, "a passed descriptor is not used");
        }
        let mut unused = Vec::new();
        for (number, address) in inherited.rest() {
            tracing::warn!(
                target: SERVER,
                %address,
                "an inherited socket is closed: no listener has its address"
            );
            unused.push(number);
        }
        Self { predecessor, unused, admin: None }
    }

    /// Says that this process serves: to its predecessor, and then to the service manager, which
    /// does not listen to this process before the predecessor has named it.
    pub(super) async fn announce(self, notifier: &Notifier) {
        if let Some(predecessor) = self.predecessor {
            predecessor.relieve(&self.unused).await;
        }
        notifier.ready();
    }
}
