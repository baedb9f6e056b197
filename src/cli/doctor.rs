//! Arguments of `narrows doctor`: those of `check`, and what is examined from outside.

use super::CheckArguments;
use super::parse::parse_value;
use crate::config::url::UpstreamUrl;
use clap::Args;
use std::net::SocketAddr;

/// Arguments of `narrows doctor`.
#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// Those of `run`, or a file.
    #[command(flatten)]
    pub check: CheckArguments,
    /// Also go to the relay from outside: the URL that clients use, with the path of a route.
    #[arg(long, value_name = "URL", value_parser = parse_value::<UpstreamUrl>)]
    pub url: Option<UpstreamUrl>,
    /// Serve the test stream for --url at this IP:port instead of the listeners' addresses.
    #[arg(long, value_name = "ADDR", requires = "url")]
    pub serve: Option<SocketAddr>,
    /// Write one JSON document.
    #[arg(long)]
    pub json: bool,
}
