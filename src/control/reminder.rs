//! Warnings about certificates: oddities in their files at start, and approaching or past ends of
//! validity at start and once a day.

use crate::config::clear_text;
use crate::config::keys::top::Config;
use crate::config::problem::{Location, Problems};
use crate::config::snapshot::Snapshot;
use crate::config::tls_files::OwnCertificate;
use crate::limits::CERTIFICATES_LOGGED_EVERY;
use crate::telemetry::targets::{CERTIFICATE, CONFIG};
use crate::tls::validity::Complaint;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::time::timeout;

/// Warns about oddities that do no harm.
pub(super) fn tell_remarks(remarks: &Problems) {
    for remark in remarks.iter() {
        tracing::warn!(target: CERTIFICATE, at = %remark.location, "{}", remark.what);
    }
}

/// Warns about what crosses a network in clear text, unless `before` did so, too.
pub(super) fn tell_clear_text(config: &Config, before: Option<&Config>) {
    let known = before.map(clear_text::warnings).unwrap_or_default();
    for warning in clear_text::warnings(config).iter() {
        if !known.iter().any(|it| it.what == warning.what) {
            let help = warning.help.join("; ");
            tracing::warn!(target: CONFIG, at = %warning.location, help, "{}", warning.what);
        }
    }
}

/// Warns about certificates that end soon or have expired: now, when there is a new snapshot, and
/// once a day. An expired one does not keep the server from starting: other listeners may have
/// valid ones, and a restart must not make things worse.
pub(super) async fn remind(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    now: impl Fn() -> SystemTime,
) {
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        for OwnCertificate { location, validity, .. } in &snapshot.certificates {
            for complaint in validity.complaints(now()) {
                log(location, &complaint);
            }
        }
        // A new snapshot may have other certificates.
        if let Ok(Err(_over)) = timeout(CERTIFICATES_LOGGED_EVERY, snapshots.changed()).await {
            return;
        }
    }
}

fn log(at: &Location, complaint: &Complaint) {
    let Complaint { reason, what, is_error } = complaint;
    if *is_error {
        tracing::error!(target: CERTIFICATE, reason, %at, "{what}");
    } else {
        tracing::warn!(target: CERTIFICATE, reason, %at, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::telemetry::{LogFormat, logged};
    use crate::tls::testing::chain::{EXPIRED, EXPIRED_KEY};
    use crate::tls::testing::pem::Folder;
    use std::time::{Duration, UNIX_EPOCH};
    use tokio::runtime::Builder;
    use tokio::time::Instant;
    use tracing::Level;

    #[test]
    fn a_certificate_that_ends_is_told_of_at_start_and_once_a_day() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let folder = Folder::new();
        folder.write("certificate.pem", EXPIRED);
        folder.write("key.pem", EXPIRED_KEY);
        let text = r#"
            [[listener]]
            address = "127.0.0.1:1"
            certificate = "certificate.pem"
            key = "key.pem"
            [[route]]
            path = "/"
            upstream = "http://127.0.0.1:1/"
        "#;
        let config = Config::read(&folder.write("narrows.toml", text)).unwrap();
        let snapshot = Arc::new(Snapshot::load(config).unwrap());
        let log = logged(LogFormat::Text, Level::INFO, || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                // It ends on 2021-01-01: in a day and a half, then in half a day, then it has.
                let begun = Instant::now();
                let start = UNIX_EPOCH + Duration::from_secs(1_609_459_200) - DAY * 3 / 2;
                let now = || start + begun.elapsed();
                let (_sender, snapshots) = watch::channel(snapshot);
                let _ = timeout(DAY * 2 + DAY / 2, remind(snapshots, now)).await;
            });
        });
        let lines: Vec<_> = log.lines().filter(|it| !it.contains("no_intermediate")).collect();
        for (line, want) in lines.iter().zip([
            " WARN narrows::certificate: the certificate ends ",
            " WARN narrows::certificate: the certificate ends ",
            "ERROR narrows::certificate: the certificate expired ",
        ]) {
            assert!(line.contains(want), "{log}");
        }
        assert!(lines[0].contains("ends in 1 day, on 2021-01-01"), "{log}");
        assert!(lines[1].contains("ends in 0 days, on 2021-01-01"), "{log}");
        assert!(lines[2].contains("expired on 2021-01-01 reason=\"expired\" at="), "{log}");
        assert_eq!(lines.len(), 3, "{log}");
        assert_eq!(log.lines().count(), 6, "and each time that the intermediate is missing");
    }
}
