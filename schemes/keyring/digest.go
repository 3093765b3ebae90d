package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync"

	tongma "github.com/tongma/tongma"
)

// SecretSize is the length of a digest secret in bytes.
const SecretSize = 32

// Digester turns payer codes into keyed digests, which stand in for them in the
// journal, in duplicate tables and in logs. It is safe for concurrent use.
//
// The digest is HMAC-SHA256 cut to its first 16 bytes (RFC 2104, section 5).
// A plain hash would not do: a payment code has about 50 bits of chance in it, so
// without a secret it could be found again by trying. A keyed BLAKE2s would be as
// sound, and AES-CMAC about as fast; HMAC-SHA256 is what every auditor knows, runs
// on the processor's SHA instructions, and is in the standard library.
type Digester struct {
	macs sync.Pool // of hash.Hash, each with the key already absorbed
}

// NewDigester makes a digester of a secret of SecretSize bytes.
func NewDigester(secret []byte) (*Digester, error) {
	if len(secret) != SecretSize {
		return nil, &tongma.Error{Op: "keyring: digest", Reason: tongma.SetupInvalid, Detail: fmt.Sprintf("the secret must be %d bytes", SecretSize)}
	}
	key := append([]byte(nil), secret...)
	d := &Digester{}
	d.macs.New = func() any { return newKeyed(key) }
	return d, nil
}

// keyed is one HMAC with room for its sum, so that a digest allocates nothing.
type keyed struct {
	mac hash.Hash
	sum [sha256.Size]byte
	in  [64]byte
}

func newKeyed(key []byte) *keyed {
	k := &keyed{mac: hmac.New(sha256.New, key)}
	k.mac.Sum(k.sum[:0]) // from here on Reset restores the state behind the key instead of hashing it again
	k.mac.Reset()
	return k
}

// Digest returns the keyed digest of a code, 16 bytes. Equal codes have equal
// digests for as long as the installation keeps its secret.
func (d *Digester) Digest(code string) [16]byte {
	k := d.macs.Get().(*keyed)
	k.mac.Reset()
	for rest := code; rest != ""; { // through a buffer, for a string cannot be written without a copy on the heap
		n := copy(k.in[:], rest)
		k.mac.Write(k.in[:n])
		rest = rest[n:]
	}
	k.mac.Sum(k.sum[:0])
	var digest [16]byte
	copy(digest[:], k.sum[:])
	clear(k.in[:])
	d.macs.Put(k)
	return digest
}

// String shows nothing of the secret.
func (d *Digester) String() string { return "digester (secret masked)" }

// Format masks every verb.
func (d *Digester) Format(w fmt.State, _ rune) { io.WriteString(w, d.String()) }
