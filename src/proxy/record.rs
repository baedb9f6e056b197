//! What is remembered of an exchange while it lasts.

pub(super) use crate::telemetry::ExchangeRecorder as Recorder;
