//! The certificates that clients are shown, and those that are ordered.

use super::finding::{Finding, Verdict};
use crate::config::managed::ManagedCertificate;
use crate::config::outline::{days_left, names};
use crate::config::own_certificate::OwnCertificate;
use crate::config::problem::{Problem, Problems};
use crate::config::snapshot::Snapshot;
use std::time::SystemTime;

const STEP: &str = "certificate";

/// Certificates that were loaded: names, days, chain. That each has its key is certain, because
/// they could not be loaded otherwise.
pub(super) fn examine(snapshot: &Snapshot, now: SystemTime) -> Vec<Finding> {
    let own = snapshot.certificates.iter().flat_map(|it| verdict(it, now));
    let managed = snapshot.managed.iter().flat_map(|it| ordered(it, now));
    let remedy = "it works; `narrows check` shows the place in the configuration";
    let remark = |it| Finding::of_problem(STEP, Verdict::Warning, it, remedy.into());
    let remarks = snapshot.remarks.iter().map(remark);
    own.chain(managed).chain(remarks).collect()
}

/// Files that cannot be used.
pub(super) fn refused(problems: &Problems) -> Vec<Finding> {
    let failure =
        |it: &Problem| Finding::of_problem(STEP, Verdict::Failure, it, remedy_for(&it.what).into());
    problems.iter().map(failure).collect()
}

fn remedy_for(what: &str) -> &'static str {
    if what.contains("does not belong to") {
        return "name the key that the certificate was made with: both come from one order, like \
                fullchain.pem and privkey.pem of one folder";
    }
    "put a file there that holds what the message asks for"
}

fn verdict(certificate: &OwnCertificate, now: SystemTime) -> Vec<Finding> {
    let about = certificate.file.display().to_string();
    let complaints = certificate.validity.complaints(now);
    if complaints.is_empty() {
        let (names, left) = (names(&certificate.names), days_left(certificate, now));
        return vec![Finding::ok(STEP, &about, format!("for {names}; {left}; its key fits"))];
    }
    let finding = |reason, what: String| {
        let remedy = remedy_of(reason);
        match reason {
            "ends_soon" | "no_intermediate" => Finding::warning(STEP, &about, what, remedy),
            _ => Finding::failure(STEP, &about, what, remedy),
        }
    };
    complaints.into_iter().map(|it| finding(it.reason, it.what)).collect()
}

/// What helps against a complaint, by its word.
fn remedy_of(reason: &str) -> &'static str {
    match reason {
        "expired" => {
            "renew it (certbot renew, acme.sh --renew), and check that the renewed file is the one \
             that is named here; or let narrows order certificates: domains = \"NAME\""
        }
        "ends_soon" => "check why it was not renewed, and renew it",
        "not_yet_valid" => "check this machine's clock (timedatectl)",
        "no_intermediate" => {
            "name the file with the whole chain, like fullchain.pem; nothing, if a root that your \
             clients trust issued it"
        }
        _ => "replace it",
    }
}

fn ordered(managed: &ManagedCertificate, now: SystemTime) -> Vec<Finding> {
    if let Some(stored) = &managed.stored {
        return verdict(stored, now);
    }
    let ordered: Vec<_> = managed.names.iter().map(ToString::to_string).collect();
    let remedy = "start narrows, which orders it; if it stays so, the lines narrows::acme of its \
                  log say why";
    let what = match managed.awaited.len() {
        0 => "not there yet; another one serves meanwhile",
        _ => "not there yet; clients that ask for it are refused meanwhile",
    };
    vec![Finding::warning(STEP, &names(&ordered), what, remedy)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    /// Of a listener that shows a pair from `certs/`, or orders a certificate.
    fn check(keys: &str) -> Vec<Finding> {
        let certs = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/");
        let keys = keys.replace('@', certs);
        let listener = format!("[[listener]]\naddress = \"127.0.0.1:8080\"\n{keys}\n");
        let route = "[[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1/\"\n";
        let config = Config::parse("f", Path::new("."), &(listener + route)).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        match Snapshot::load(config) {
            Ok(snapshot) => examine(&snapshot, now),
            Err(problems) => refused(&problems),
        }
    }

    fn pair(name: &str, key: &str) -> Vec<Finding> {
        check(&format!("certificate = \"@{name}.pem\"\nkey = \"@{key}.key\""))
    }

    #[test]
    fn a_certificate_is_described_or_its_fault_named() {
        let good = &pair("authority", "authority")[0];
        assert_eq!(good.verdict, Verdict::Ok);
        assert!(good.what.starts_with("for localhost, ") && good.what.contains("days left"));
        let expired = &pair("expired", "expired")[0];
        assert_eq!((expired.verdict, &*expired.what), (Verdict::Failure, EXPIRED));
        assert!(expired.remedy.as_ref().unwrap().starts_with("renew it"));
        let early = &pair("not-yet-valid", "not-yet-valid")[0];
        assert!(early.remedy.as_ref().unwrap().contains("clock"), "{early:?}");
        let alone = &pair("chain-leaf", "chain-leaf")[0];
        assert!(alone.remedy.as_ref().unwrap().contains("fullchain.pem"), "{alone:?}");
        assert_eq!(alone.verdict, Verdict::Warning, "a root of the operator may have issued it");
    }

    const EXPIRED: &str = "the certificate expired on 2021-01-01";

    #[test]
    fn a_key_of_another_certificate_is_a_failure() {
        let mismatch = &pair("authority", "impostor")[0];
        assert_eq!(mismatch.verdict, Verdict::Failure);
        assert!(mismatch.remedy.as_ref().unwrap().starts_with("name the key"), "{mismatch:?}");
        assert!(refused_key().remedy.unwrap().starts_with("put a file there"));
    }

    fn refused_key() -> Finding {
        pair("authority", "encrypted").remove(0)
    }
}
