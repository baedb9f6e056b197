//! Compares what was seen with what a row wants.

use super::case::{Case, Kind, Manner};
use super::origin::{EVIL, HIDDEN};
use super::play::Observed;
use super::wire::Message;

/// Who is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// Our relay, which does what the row says and nothing else.
    Ours,
    /// Any relay.
    Anyone,
}

impl Observed {
    /// Where this differs from the row's verdict, in a sentence each. For our own relay.
    pub fn faults(&self, case: &Case) -> Vec<String> {
        let mut faults = self.differences(case, Judged::Ours);
        faults.extend(self.hazard(case));
        if let Some(exactly) = case.exactly.as_ref().filter(|it| **it != self.upstream.bytes) {
            let (want, got) = (exactly.escape_ascii(), self.upstream.bytes.escape_ascii());
            faults.push(format!("the upstream should get\n    {want}, and got\n    {got}"));
        }
        faults
    }

    /// Whether any relay that did this did right. `None`: the row asks for a choice.
    pub fn passes(&self, case: &Case) -> Option<bool> {
        let conforms = match case.kind {
            Kind::Choice => return None,
            Kind::Safety => true,
            Kind::Must => self.differences(case, Judged::Anyone).is_empty() != case.deviates,
        };
        Some(conforms && self.hazard(case).is_none())
    }

    /// Both transcripts.
    pub fn transcript(&self) -> String {
        let next = self.next_client.iter().map(|got| format!("; the next client: {got}"));
        let next: String = next.collect();
        format!("{} -> {}{next}", self.client, self.requests())
    }

    fn requests(&self) -> String {
        let requests = &self.upstream.requests;
        if requests.is_empty() { "-".to_owned() } else { requests.join(", ") }
    }

    fn differences(&self, case: &Case, judged: Judged) -> Vec<String> {
        let mut faults = Vec::new();
        let requests = self.requests();
        let is = |client: &str, upstream: &str| {
            // Whether a close finds unread bytes, and so is a reset, may be a matter of luck.
            let has_client = matches(client, &self.client)
                || (judged == Judged::Anyone && self.client.replace(", reset", ", end") == client);
            has_client && matches(upstream, &requests)
        };
        let allowed = judged == Judged::Anyone
            && case.allowed.iter().any(|&(client, upstream)| is(client, upstream));
        if !is(&case.client, &case.upstream) && !allowed {
            let want = format!("{} | {}", case.client, case.upstream);
            faults.push(format!("wanted {want}\n    and got {} | {requests}", self.client));
        }
        faults.extend(self.lines_amiss(case));
        faults
    }

    /// Lines that should or should not have passed.
    pub fn lines_amiss(&self, case: &Case) -> Vec<String> {
        let mut faults = Vec::new();
        let upstream = (&self.upstream.heads, "forwarded", &case.forwards, &case.drops);
        let client = (&self.responses, "returned", &case.returns, &case.hides);
        for (heads, word, wanted, unwanted) in [upstream, client] {
            let begins = |line: &str| heads.iter().any(|head| has_beginning(head, line));
            let has = |line: &str| match line.strip_suffix(": ") {
                Some(_) => begins(line),
                None => heads.iter().any(|head| has_line(head, line)),
            };
            let missing = wanted.iter().filter(|line| !has(line));
            faults.extend(missing.map(|line| format!("not {word}: {line}")));
            let extra = unwanted.iter().filter(|line| begins(line));
            faults.extend(extra.map(|line| format!("{word}: {line}")));
        }
        faults
    }

    /// What no relay may do, whatever else it does.
    fn hazard(&self, case: &Case) -> Option<String> {
        if let Some(got) = &self.next_client {
            return Some(format!("the next client got {got}"));
        }
        if self.client.contains("malformed") || self.client.contains(&format!("200 \"{EVIL}\"")) {
            return Some(format!("the client got {}", self.client));
        }
        // An upstream that reads no lengths sees requests in bodies, whatever is in front of it.
        let is_blind = case.manner == Manner::Blind;
        let is_bad = |request: &&String| {
            let target = request.split(' ').nth(1).unwrap_or_default();
            // With our prefix it was not read by the relay, but passed on inside of something.
            let is_raw = target.starts_with("/gpt/");
            request.starts_with("malformed") || is_raw || target.ends_with(HIDDEN)
        };
        let bad = self.upstream.requests.iter().find(is_bad).filter(|_| !is_blind);
        bad.map(|request| format!("the upstream got {request}"))
    }
}

/// Whether a transcript is the wanted one.
fn matches(want: &str, got: &str) -> bool {
    match want {
        "cut" => {
            let is_one = !got.contains(", ");
            got == "-" || got == "reset" || (is_one && got.ends_with(" cut"))
        }
        want => want == got,
    }
}

/// Whether the message has this line: by its name and its value, in any case.
fn has_line(message: &Message, line: &str) -> bool {
    let parts = |line: &[u8]| {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        (name.to_ascii_lowercase(), value.to_ascii_lowercase())
    };
    message.lines().any(|it| parts(it) == parts(line.as_bytes()))
}

/// Whether a line begins like this, in any case.
fn has_beginning(message: &Message, line: &str) -> bool {
    message.lines().any(|it| {
        let front = it.get(..line.len());
        front.is_some_and(|front| front.eq_ignore_ascii_case(line.as_bytes()))
    })
}
