//! Warnings about certificates: oddities in their files, and approaching or past ends of validity.
//! They are logged at start; after a reload or a renewal only those that are new; ends of validity
//! once a day as well.

use crate::config::keys::top::Config;
use crate::config::own_certificate::OwnCertificate;
use crate::config::problem::Problems;
use crate::config::snapshot::Snapshot;
use crate::config::warnings::warnings;
use crate::limits::CERTIFICATES_LOGGED_EVERY;
use crate::telemetry::targets::{CERTIFICATE, CONFIG};
use crate::tls::validity::Complaint;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Warns about oddities that do no harm, unless `before` has them, too.
pub(super) fn tell_remarks(remarks: &Problems, before: Option<&Problems>) {
    let mut logged = Logged::of(before);
    for remark in remarks.iter().filter(|it| !logged.take(&it.what)) {
        tracing::warn!(target: CERTIFICATE, at = %remark.location, "{}", remark.what);
    }
}

/// Warns about what crosses a network in clear text, unless `before` did so, too.
pub(super) fn tell_clear_text(config: &Config, before: Option<&Config>) {
    let mut logged = Logged::of(before.map(warnings).as_ref());
    for warning in warnings(config).iter().filter(|it| !logged.take(&it.what)) {
        let help = warning.help.join("; ");
        tracing::warn!(target: CONFIG, at = %warning.location, help, "{}", warning.what);
    }
}

/// Warns about certificates that end soon or have expired: about all of them now and once a day,
/// and about new ones when there is a new snapshot. An expired one does not keep the server from
/// starting: other listeners may have valid ones, and a restart must not make things worse.
pub(super) async fn remind(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    now: impl Fn() -> SystemTime,
) {
    let mut logged = Logged::default();
    let mut all_again = Instant::now() + CERTIFICATES_LOGGED_EVERY;
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let mut complained = Logged::default();
        let managed = snapshot.managed.iter().filter_map(|it| it.stored.as_ref());
        for own in snapshot.certificates.iter().chain(managed) {
            for complaint in own.validity.complaints(now()) {
                if !logged.take(&complaint.what) {
                    log(own, &complaint);
                }
                complained.0.push(complaint.what);
            }
        }
        logged = complained;
        match timeout_at(all_again, snapshots.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_over)) => return,
            Err(_elapsed) => {
                logged.0.clear();
                all_again += CERTIFICATES_LOGGED_EVERY;
            }
        }
    }
}

/// The texts of warnings that have been logged, each as often as it was. Their places do not count:
/// a line that is added above moves them.
#[derive(Default)]
struct Logged(Vec<String>);

impl Logged {
    fn of(problems: Option<&Problems>) -> Self {
        Self(problems.into_iter().flat_map(Problems::iter).map(|it| it.what.clone()).collect())
    }

    /// Whether `what` has been logged. It then counts once less.
    fn take(&mut self, what: &str) -> bool {
        let at = self.0.iter().position(|it| it == what);
        at.map(|at| self.0.swap_remove(at)).is_some()
    }
}

fn log(own: &OwnCertificate, complaint: &Complaint) {
    let Complaint { reason, what, is_error } = complaint;
    let (at, file) = (&own.location, own.file.display());
    if *is_error {
        tracing::error!(target: CERTIFICATE, reason, %at, %file, "{what}");
    } else {
        tracing::warn!(target: CERTIFICATE, reason, %at, %file, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::problem::Location;
    use crate::telemetry::{LogFormat, logged};
    use crate::tls::testing::chain::{EXPIRED, EXPIRED_KEY};
    use crate::tls::testing::pem::Folder;
    use std::time::{Duration, UNIX_EPOCH};
    use tokio::runtime::Builder;
    use tokio::time::{sleep, timeout};
    use tracing::Level;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// One with a certificate that ends on 2021-01-01 and lacks its intermediate.
    fn snapshot(folder: &Folder) -> Arc<Snapshot> {
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
        Arc::new(Snapshot::load(config).unwrap())
    }

    #[test]
    fn a_certificate_that_ends_is_told_of_at_start_and_once_a_day() {
        let snapshot = snapshot(&Folder::new());
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

    #[test]
    fn a_reload_repeats_no_warning_and_does_not_put_off_those_of_the_day() {
        let folder = Folder::new();
        let log = logged(LogFormat::Text, Level::INFO, || {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                let (sender, snapshots) = watch::channel(snapshot(&folder));
                let reload = async {
                    loop {
                        sleep(DAY / 24).await;
                        sender.send_replace(snapshot(&folder));
                    }
                };
                let after = UNIX_EPOCH + Duration::from_secs(1_609_459_200) + DAY * 9;
                tokio::select! {
                    () = remind(snapshots, || after) => unreachable!(),
                    () = reload => unreachable!(),
                    () = sleep(DAY + DAY / 2) => {}
                }
            });
        });
        assert_eq!(log.matches("the certificate expired").count(), 2, "{log}");
        assert_eq!(log.lines().count(), 4, "{log}");
    }

    #[test]
    fn a_remark_is_logged_again_only_about_another_file() {
        let remarks = |count: usize| {
            let mut remarks = Problems::default();
            for _ in 0..count {
                remarks.add(&Location::Argument("CERTIFICATE"), "it holds a block too many");
            }
            remarks
        };
        let lines = |now: usize, before: Option<usize>| {
            let before = before.map(remarks);
            let told = || tell_remarks(&remarks(now), before.as_ref());
            logged(LogFormat::Text, Level::INFO, told).lines().count()
        };
        assert_eq!(lines(2, None), 2);
        assert_eq!(lines(2, Some(2)), 0);
        assert_eq!(lines(2, Some(1)), 1, "a second file is like the first");
    }
}
