package iso8583

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"

	"github.com/tongma/tongma"
)

// macSize is how much of an AES-CMAC travels in DE64 or DE128.
const macSize = 8

// MAC authenticates the messages of one link: AES-CMAC with a 128-bit key (RFC
// 4493), of which the left eight bytes travel. It may be used by several
// goroutines at once.
type MAC struct {
	block  cipher.Block
	k1, k2 [aes.BlockSize]byte
}

// NewMAC takes a key of 16 bytes.
func NewMAC(key []byte) (*MAC, error) {
	if len(key) != 16 {
		return nil, &tongma.Error{Op: "iso8583: mac", Reason: tongma.FieldInvalid, Detail: "the key must have 16 bytes"}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, &tongma.Error{Op: "iso8583: mac", Reason: tongma.Internal, Err: err}
	}
	k := &MAC{block: block}
	block.Encrypt(k.k1[:], k.k1[:])
	k.k1 = double(k.k1)
	k.k2 = double(k.k1)
	return k, nil
}

// double multiplies by x in GF(2^128), without a branch on the secret.
func double(v [aes.BlockSize]byte) (out [aes.BlockSize]byte) {
	carry := byte(0)
	for i := len(v) - 1; i >= 0; i-- {
		out[i] = v[i]<<1 | carry
		carry = v[i] >> 7
	}
	out[len(out)-1] ^= 0x87 & -carry
	return out
}

// Sum returns the whole AES-CMAC of data.
func (k *MAC) Sum(data []byte) (sum [aes.BlockSize]byte) {
	for len(data) > aes.BlockSize {
		subtle.XORBytes(sum[:], sum[:], data[:aes.BlockSize])
		k.block.Encrypt(sum[:], sum[:])
		data = data[aes.BlockSize:]
	}
	last := k.k1
	if len(data) < aes.BlockSize {
		last = k.k2
		last[len(data)] ^= 0x80
	}
	subtle.XORBytes(last[:], last[:], data)
	subtle.XORBytes(sum[:], sum[:], last[:])
	k.block.Encrypt(sum[:], sum[:])
	return sum
}

// sealField returns where the MAC of the message stands: DE128 if a second
// bitmap is needed anyway, else DE64.
func (m *Message) sealField() int {
	if m.have[1]&^bitOf(128) != 0 {
		return 128
	}
	return 64
}

// AppendSealed appends the packed message as Append does, with its MAC in DE64 or
// DE128. The MAC covers everything from the message type up to itself. With a
// nil key it is Append.
func (m *Message) AppendSealed(dst []byte, key *MAC) ([]byte, error) {
	if key == nil {
		return m.Append(dst)
	}
	m.Unset(64)
	m.Unset(128)
	m.Set(m.sealField(), make([]byte, macSize))
	out, err := m.Append(dst)
	if err != nil {
		return dst, err
	}
	sum := key.Sum(out[len(dst) : len(out)-macSize])
	copy(out[len(out)-macSize:], sum[:])
	return out, nil
}

// SealedBy tells whether msg, which m was unpacked from, ends in the MAC that
// key makes of it. It takes the same time wherever the MAC differs.
func (m *Message) SealedBy(msg []byte, key *MAC) bool {
	if !m.Has(m.sealField()) || len(msg) < macSize || (m.sealField() == 64 && m.Has(128)) {
		return false
	}
	body, tag := msg[:len(msg)-macSize], msg[len(msg)-macSize:]
	sum := key.Sum(body)
	return subtle.ConstantTimeCompare(sum[:macSize], tag) == 1
}
