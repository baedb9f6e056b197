#!/usr/bin/env bash
# Makes every key and certificate in this directory anew. Needs openssl 3. See README.md.
#
# The keys of the two CAs are made, used and thrown away: no one, we included, can sign
# anything further with them. To change one certificate, make them all.
set -euo pipefail
cd "$(dirname "$0")"

# Certificates start in the past, so that a test machine's wrong clock does no harm.
start=20200101000000Z
readonly end=21250101000000Z
readonly names='DNS:localhost, DNS:api.openai.test, IP:127.0.0.1, IP:::1'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

main() {
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
extendedKeyUsage = serverAuth
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
  cat > "$work/ca.conf" <<CONF
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
CONF
  openssl req -new -key "$key" -subj "/CN=$common_name" -out "$work/$name.csr"
  openssl ca -batch -notext -config "$work/ca.conf" "$@" -in "$work/$name.csr" \
    -extfile "$work/$name.ext" -startdate "$start" -enddate "$not_after" -out "$name.pem" \
    2> "$work/log" || { cat "$work/log" >&2; exit 1; }
}

new_key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

main
