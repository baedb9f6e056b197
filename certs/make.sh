#!/usr/bin/env bash
# Makes every key and certificate in this directory anew. Needs openssl 3. See README.md.
#
# The keys of the CAs are made, used and thrown away: no one, we included, can sign anything
# further with them. To change one certificate, make all that its CA signs: ./make.sh makes
# everything, ./make.sh names and ./make.sh clients make what these functions say.
set -euo pipefail
cd "$(dirname "$0")"

# Certificates start in the past, so that a test machine's wrong clock does no harm.
start=20200101000000Z
readonly end=21250101000000Z
readonly names='DNS:localhost, DNS:api.openai.test, IP:127.0.0.1, IP:::1'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

everything() {
  names
  clients
  make_ca ca 'narrows test CA'
  make_ca foreign-ca 'narrows test CA that no test trusts'

  make_leaf server ca "$end" "$names"
  make_leaf expired ca 20210101000000Z "$names"
  make_leaf wrong-name ca "$end" 'DNS:wrong-name.test'
  make_leaf foreign foreign-ca "$end" "$names"
  make_leaf not-yet-valid ca "$end" "$names" 21240101000000Z
  make_own authority
  make_own impostor
  make_own authority-expired 20210101000000Z
  make_chain
  make_version_1
  openssl pkcs8 -topk8 -in authority.key -passout pass:secret -out encrypted.key
  openssl genpkey -algorithm ED448 -out ed448.key
}

# Servers that share a port: names-ca.pem, an RSA certificate beside that of server.pem, and one for
# the names of a domain.
names() {
  make_ca names-ca 'narrows test CA for names'
  new_key() { openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1"; }
  make_leaf rsa names-ca "$end" "$names"
  new_key() { new_ec_key "$1"; }
  make_leaf wildcard names-ca "$end" 'DNS:*.relay.test, DNS:relay.test'
  usage=clientAuth make_leaf client-foreign names-ca "$end" 'email:eve@relay.test'
}

# Clients that have to show a certificate: clients-ca.pem, three of its certificates, and the list of
# those that it has revoked.
clients() {
  make_ca clients-ca 'narrows test CA for clients'
  usage=clientAuth make_leaf client clients-ca "$end" 'email:alice@relay.test'
  usage=clientAuth make_leaf client-expired clients-ca 20210101000000Z 'email:alice@relay.test'
  usage=clientAuth make_leaf client-revoked clients-ca "$end" 'email:mallory@relay.test'
  # Of the last certificate, the database knows that it was issued.
  openssl ca -config "$work/ca.conf" -cert clients-ca.pem -keyfile "$work/clients-ca.key" \
    -revoke client-revoked.pem 2> /dev/null
  openssl ca -config "$work/ca.conf" -cert clients-ca.pem -keyfile "$work/clients-ca.key" \
    -gencrl -crl_lastupdate "$start" -crl_nextupdate "$end" -out clients-crl.pem 2> /dev/null
}

# make_ca NAME COMMON_NAME [PATH_LENGTH]: NAME.pem here, its key in the work directory only.
make_ca() {
  new_key "$work/$1.key"
  cat > "$work/$1.ext" <<EXT
basicConstraints = critical, CA:TRUE, pathlen:${3:-0}
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
EXT
  sign "$1" "$work/$1.key" "$2" "$end" -selfsign -keyfile "$work/$1.key"
}

# make_own NAME [NOT_AFTER]: NAME.pem, self-signed and an authority, as `openssl req -x509` makes it
# by default, and NAME.key. All have the same name.
make_own() {
  new_key "$1.key"
  cat > "$work/$1.ext" <<EXT
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
basicConstraints = critical, CA:TRUE
subjectAltName = $names
EXT
  sign "$1" "$1.key" 'narrows test server' "${2:-$end}" -selfsign -keyfile "$1.key"
}

# chain-root.pem, chain-intermediate.pem, chain-leaf.pem and chain-leaf.key.
make_chain() {
  make_ca chain-root 'narrows test root' 1
  make_ca chain-intermediate 'narrows test intermediate'
  sign chain-intermediate "$work/chain-intermediate.key" 'narrows test intermediate' "$end" \
    -cert chain-root.pem -keyfile "$work/chain-root.key"
  make_leaf chain-leaf chain-intermediate "$end" "$names"
}

# version-1.pem, as `openssl x509 -req` makes it without extensions, and version-1.key.
make_version_1() {
  new_key version-1.key
  openssl req -new -key version-1.key -subj '/CN=localhost' -out "$work/version-1.csr"
  openssl x509 -req -in "$work/version-1.csr" -signkey version-1.key -days 36500 \
    -out version-1.pem 2> /dev/null
}

# make_leaf NAME CA NOT_AFTER SUBJECT_ALT_NAMES [NOT_BEFORE]: NAME.pem (the leaf alone) and NAME.key
# (PKCS#8).
make_leaf() {
  new_key "$1.key"
  cat > "$work/$1.ext" <<EXT
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = ${usage:-serverAuth}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $4
EXT
  start=${5:-$start} sign "$1" "$1.key" "narrows test $1" "$3" -cert "$2.pem" -keyfile "$work/$2.key"
}

# sign NAME KEY COMMON_NAME NOT_AFTER SIGNER...: the extensions are in NAME.ext.
#
# By `openssl ca`, which needs a database, because `openssl x509` learned -not_before in 3.4 only.
sign() {
  local name=$1 key=$2 common_name=$3 not_after=$4
  shift 4
  : > "$work/index"
  echo 01 > "$work/crlnumber"
  cat > "$work/ca.conf" <<CONF
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
crlnumber = $work/crlnumber
[any]
commonName = supplied
CONF
  openssl req -new -key "$key" -subj "/CN=$common_name" -out "$work/$name.csr"
  openssl ca -batch -notext -config "$work/ca.conf" "$@" -in "$work/$name.csr" \
    -extfile "$work/$name.ext" -startdate "$start" -enddate "$not_after" -out "$name.pem" \
    2> "$work/log" || { cat "$work/log" >&2; exit 1; }
}

new_key() {
  new_ec_key "$1"
}

new_ec_key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

"${1:-everything}"
