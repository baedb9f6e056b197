use super::*;
use crate::fuzzing;
use ProxyHeaderError as E;

#[test]
fn a_line_gives_both_addresses() {
    // The example of section 2.1.
    let line = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
    check_line(&format!("{line}GET / HTTP/1.1\r\n"), ends("192.168.0.1:56324", "192.168.0.11:443"));
    check_line(line, ends("192.168.0.1:56324", "192.168.0.11:443"));
    let longest = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    check_line(longest, ends("255.255.255.255:65535", "255.255.255.255:65535"));
    check_line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ends("0.0.0.0:0", "0.0.0.0:0"));
    let most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY TCP6 {most} {most} 65535 65535\r\n");
    check_line(&longest, ends(&format!("[{most}]:65535"), &format!("[{most}]:65535")));
    check_line("PROXY TCP6 2001:DB8:: ::1 1 2\r\n", ends("[2001:db8::]:1", "[::1]:2"));
    check_line("PROXY TCP6 0001:02::3 0:0::0 1 2\r\n", ends("[1:2::3]:1", "[::]:2"));
}

#[test]
fn an_ipv4_mapped_address_is_the_ipv4_address_in_it() {
    let line = "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n";
    check_line(line, ends("192.0.2.1:1", "192.0.2.2:2"));
    let mapped = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01";
    let block = [&mapped[..], &[0; 15], &[1], b"\0\x01\0\x02"].concat();
    check_block(0x21, 0x21, &block, ends("192.0.2.1:1", "[::1]:2"));
}

#[test]
fn an_unknown_line_may_hold_anything_and_gives_no_address() {
    let most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {most} {most} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN TCP4 \0 x\r\n", &longest]
    {
        check_line(line, Ok(None));
        check_line(&format!("{line}\r\nPROXY "), Ok(None));
    }
    check_line(&longest.replace('\r', "1\r"), Err(E::LineTooLong));
    check_line(&format!("PROXY UNKNOWN {}", "\u{e9}".repeat(100)), Err(E::LineTooLong));
    for wrong in ["\n", " \n", " a\nb\r\n", "\r", "\rx", " a\r\r\n"] {
        let want = if wrong == "\r" { None } else { Some(E::BadLineEnd) };
        check(format!("PROXY UNKNOWN{wrong}").as_bytes(), want.map_or(Ok(None), Err));
    }
}

#[test]
fn a_malformed_line_is_refused() {
    for (line, error) in [
        ("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", E::BadProtocolWord),
        ("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", E::BadProtocolWord),
        ("PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", E::BadProtocolWord),
        ("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", E::BadProtocolWord),
        ("PROXY TCP4\r\n", E::BadProtocolWord),
        ("PROXY UNKNOWNS\r\n", E::BadProtocolWord),
        ("PROXY \r\n", E::BadProtocolWord),
        ("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 ::1 1.2.3.4 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 :::1 ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 1::2::3 ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP6 [::1] ::1 1 2\r\n", E::BadAddress),
        ("PROXY TCP4 1.2.3.4 1.2.3.4\r\n", E::BadAddress),
        ("PROXY TCP4 1111111111111111", E::BadAddress),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4  1 2\r\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 00\r\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 111111", E::BadPort),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", E::BadLineEnd),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", E::BadLineEnd),
    ] {
        check_line(line, Err(error));
    }
}

#[test]
fn a_first_byte_of_neither_version_is_refused_at_once() {
    for input in
        ["GET / HTTP/1.1\r\n", "\x16\x03\x01", "PROX\r", "PROXY\t", "\r\n\r\n\r\n", "proxy"]
    {
        check_line(input, Err(E::NotProxyProtocol));
    }
    for byte in (0..=u8::MAX).filter(|byte| !b"P\r".contains(byte)) {
        check(&[byte], Err(E::NotProxyProtocol));
    }
    for start in [&b""[..], b"P", b"PROXY", b"PROXY TC", b"PROXY UNK", b"\r\n\r\n\0\r\nQU"] {
        check(start, Ok(None));
    }
}

#[test]
fn a_block_gives_both_addresses() {
    let v4 = b"\xc0\xa8\0\x01\xc0\xa8\0\x0b\xdc\x04\x01\xbb";
    check_block(0x21, 0x11, v4, ends("192.168.0.1:56324", "192.168.0.11:443"));
    let v6 = [&[0x20, 1, 0xd, 0xb8], &[0; 12][..], &[0; 15], &[1], b"\xff\xff\0\0"].concat();
    check_block(0x21, 0x21, &v6, ends("[2001:db8::]:65535", "[::1]:0"));
}

#[test]
fn a_header_about_something_other_than_tcp_gives_no_address() {
    for family in [0x00, 0x01, 0x02, 0x10, 0x12, 0x20, 0x22, 0x30, 0x31, 0x32] {
        check_block(0x21, family, &[0; 216], Ok(None));
    }
    for family in [0x00, 0x01, 0x02, 0x10, 0x20, 0x30] {
        check_block(0x21, family, b"", Ok(None));
        check_block(0x21, family, b"\x03\0\xff", Ok(None));
    }
}

#[test]
fn a_local_header_gives_no_address_whatever_its_block_holds() {
    for family in [0x00, 0x11, 0x21, 0x31, 0x44, 0xff] {
        for block in [&b""[..], &[1; 12], &[0xff; 300]] {
            check_block(0x20, family, block, Ok(None));
        }
    }
}

#[test]
fn unassigned_values_are_refused() {
    for byte in (0..=u8::MAX).filter(|byte| byte >> 4 != 2) {
        check_block(byte, 0x11, &[0; 12], Err(E::BadVersion));
    }
    for command in 2..16 {
        check_block(0x20 | command, 0x11, &[0; 12], Err(E::BadCommand));
    }
    for family in (0..=u8::MAX).filter(|it| it >> 4 > 3 || it & 0xf > 2) {
        check_block(0x21, family, &[0; 300], Err(E::BadFamily));
    }
}

#[test]
fn a_block_too_short_for_its_addresses_is_refused() {
    for (family, least) in [(0x11, 12), (0x12, 12), (0x21, 36), (0x22, 36), (0x31, 216)] {
        for length in [0, 1, least - 1] {
            check_block(0x21, family, &vec![0; length], Err(E::TooShort));
        }
    }
}

#[test]
fn a_header_that_announces_too_many_bytes_is_refused_at_once() {
    let largest = PROXY_HEADER_BYTES_MAX - FIXED_BYTES;
    check_block(0x21, 0x00, &vec![0; largest], Ok(None));
    check_block(0x21, 0x00, &vec![0; largest + 1], Err(E::TooLong));
    check(&[&SIGNATURE_V2[..], b"\x20\0\xff\xff"].concat(), Err(E::TooLong));
}

#[test]
fn vectors_are_skipped_and_their_lengths_checked() {
    let with = |tlvs: &[u8]| [&[127, 0, 0, 1, 127, 0, 0, 2, 0, 1, 0, 2], tlvs].concat();
    let found = ends("127.0.0.1:1", "127.0.0.2:2");
    for sound in [
        &b"\x04\0\0"[..],
        b"\x01\0\x02h2",
        b"\x02\0\x09a.example\x04\0\x01\0",
        b"\xea\0\x03\x01ab\xff\0\x01\0",
        // PP2_TYPE_SSL with a version in it.
        b"\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3",
    ] {
        check_block(0x21, 0x11, &with(sound), found);
        // Of UDP or not: there are TLVs after the addresses.
        check_block(0x21, 0x12, &with(sound), Ok(None));
    }
    for wrong in
        [&b"\0"[..], b"\x04\0", b"\x04\0\x01", b"\x01\0\x03h2", b"\x04\0\0\x04", b"\x04\xff\xff"]
    {
        check_block(0x21, 0x11, &with(wrong), Err(E::BadTlv));
        check_block(0x21, 0x12, &with(wrong), Err(E::BadTlv));
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c([&[0; 32], &[], &[]]), 0x8a91_36aa);
    assert_eq!(crc32c([&[0xff; 10], &[0xff; 22], &[]]), 0x62a8_ab43);

    let block = |sum: [u8; 4], rest: &[u8]| {
        [b"\x7f\0\0\x01\x7f\0\0\x02\0\x01\0\x02\x03\0\x04", &sum[..], rest].concat()
    };
    for rest in [&b""[..], b"\x04\0\x01x"] {
        let zeroed = header(0x21, 0x11, &block([0; 4], rest));
        let sum = crc32c([&zeroed, &[], &[]]).to_be_bytes();
        check_block(0x21, 0x11, &block(sum, rest), ends("127.0.0.1:1", "127.0.0.2:2"));
        for bit in 0..32 {
            let wrong = (u32::from_be_bytes(sum) ^ 1 << bit).to_be_bytes();
            check_block(0x21, 0x11, &block(wrong, rest), Err(E::BadChecksum));
        }
    }
    check_block(0x21, 0x11, &block([0; 4], b"\x03\0\x04\0\0\0\0"), Err(E::BadTlv));
    let short = b"\x7f\0\0\x01\x7f\0\0\x02\0\x01\0\x02\x03\0\x03\0\0\0";
    check_block(0x21, 0x11, short, Err(E::BadTlv));
}

#[test]
fn a_header_is_written_as_the_specification_shows() {
    let write = |version, source: &str, destination: &str| {
        let mut out = BytesMut::from("before");
        encode(version, source.parse().unwrap(), destination.parse().unwrap(), &mut out);
        out.split_off("before".len())
    };
    let line = write(ProxyVersion::V1, "192.168.0.1:56324", "192.168.0.11:443");
    assert_eq!(line, "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n");
    let line = write(ProxyVersion::V1, "[2001:db8::1]:1", "192.0.2.1:65535");
    assert_eq!(line, "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n");
    let block = write(ProxyVersion::V2, "192.168.0.1:56324", "192.168.0.11:443");
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    assert_eq!(block, [&fixed[..], b"\xc0\xa8\0\x01\xc0\xa8\0\x0b\xdc\x04\x01\xbb"].concat()[..]);
    let block = write(ProxyVersion::V2, "192.0.2.1:1", "[::1]:2");
    let fixed = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24";
    let source = [&[0; 10][..], b"\xff\xff\xc0\0\x02\x01"].concat();
    assert_eq!(block, [&fixed[..], &source, &[0; 15], b"\x01\0\x01\0\x02"].concat()[..]);
}

#[test]
fn a_written_header_reads_the_same() {
    let most = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    let ends = ["0.0.0.0:0", "255.255.255.255:65535", "192.0.2.1:80", "[::]:0", "[::1]:1", most];
    let further = ["[2001:db8::1:0:0:1]:443", "[64:ff9b::c000:201]:1", "[::1.2.3.4]:1"];
    let ends = || ends.iter().chain(&further).map(|text| text.parse::<SocketAddr>().unwrap());
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        for source in ends() {
            for destination in ends() {
                let mut written = BytesMut::new();
                encode(version, source, destination, &mut written);
                assert!(written.len() <= 104);
                let want = Header {
                    len: written.len(),
                    source: Some(source),
                    destination: Some(destination),
                };
                check(&written, Ok(Some(want)));
            }
        }
    }
}

#[test]
fn a_mapped_address_is_written_as_the_ipv4_address_in_it() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut written = [BytesMut::new(), BytesMut::new()];
        let plain = "192.0.2.1:1".parse().unwrap();
        let mapped = "[::ffff:192.0.2.1]:1".parse().unwrap();
        encode(version, plain, plain, &mut written[0]);
        encode(version, mapped, mapped, &mut written[1]);
        assert_eq!(written[0], written[1]);
    }
}

/// Where a search for inputs that break the property begins.
const SEEDS: [&[u8]; 12] = [
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n\r\n",
    b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n",
    b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::1 65535 0\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
    b"PROXY TCP4 01.2.3.4 1.2.3.4 +1 00002\r\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\xa8\0\x01\xc0\xa8\0\x0b\xdc\x04\x01\xbb\x16\x03\x01",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\
      \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x02",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x20\xff\0\x03abc",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1d\x7f\0\0\x01\x7f\0\0\x02\0\x01\0\x02\
      \x01\0\x02h2\x02\0\x01a\x04\0\x02xy",
    // The checksum is wrong.
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\x7f\0\0\x01\x7f\0\0\x02\0\x01\0\x02\
      \x03\0\x04\0\0\0\0",
];

#[test]
fn a_changed_byte_never_breaks_the_property() {
    for seed in SEEDS {
        for at in 0..seed.len() {
            for byte in [0, 1, b' ', b'\r', b'\n', b'0', 0xff, seed[at] ^ 1, seed[at] ^ 0x80] {
                let mut changed = seed.to_vec();
                changed[at] = byte;
                fuzzing::proxy_protocol(&changed);
            }
        }
    }
}

type Ends = Option<(SocketAddr, SocketAddr)>;

fn ends(source: &str, destination: &str) -> Result<Ends, E> {
    Ok(Some((source.parse().unwrap(), destination.parse().unwrap())))
}

/// `input` begins with a line that says `want`, or is refused.
#[track_caller]
fn check_line(input: &str, want: Result<Ends, E>) {
    let end = input.find("\r\n").map_or(0, |end| end + 2);
    check(input.as_bytes(), want.map(|ends| Some(found(end, ends))));
}

/// A binary header with this block says `want`, or is refused; bytes after it do not matter.
#[track_caller]
fn check_block(version_and_command: u8, family: u8, block: &[u8], want: Result<Ends, E>) {
    let header = header(version_and_command, family, block);
    let want = want.map(|ends| Some(found(header.len(), ends)));
    check(&header, want);
    check(&[&header[..], b"\r\n"].concat(), want);
}

fn header(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&SIGNATURE_V2[..], &[version_and_command, family], &length, block].concat()
}

fn found(len: usize, ends: Ends) -> Header {
    let (source, destination) = ends.unzip();
    Header { len, source, destination }
}

/// Reads every beginning of `input`, and asks what else has to hold.
#[track_caller]
fn check(input: &[u8], want: Result<Option<Header>, E>) {
    assert_eq!(read(input), want, "{input:?}");
    fuzzing::proxy_protocol(input);
}
