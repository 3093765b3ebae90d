package journal

import (
	"crypto/sha256"
	"math/bits"
)

// Prefixes that keep a leaf from passing for a node (RFC 6962, 2.1).
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// smallLeaf is up to where a leaf is hashed from the stack.
const smallLeaf = 1024

// MerkleRoot returns the Merkle tree hash of the entries as RFC 6962, 2.1 has
// it: leaves SHA-256(0x00 || entry), nodes SHA-256(0x01 || left || right), split
// at the largest power of two below the number of leaves. No entries give
// SHA-256 of nothing. It allocates only for entries above a kilobyte.
func MerkleRoot(entries [][]byte) [32]byte {
	var t tree
	for _, e := range entries {
		t.add(e)
	}
	return t.root()
}

// tree is a Merkle tree that grows by one leaf after the other. One complete subtree
// waits at each height where the count of leaves so far has a bit; a new leaf joins
// them as a carry runs through a binary number.
type tree struct {
	waiting [64][32]byte
	leaves  uint
	scratch [smallLeaf]byte
}

func (t *tree) add(entry []byte) {
	h := leafHash(entry, &t.scratch)
	height := 0
	for ; t.leaves>>height&1 == 1; height++ {
		h = nodeHash(&t.waiting[height], &h)
	}
	t.waiting[height] = h
	t.leaves++
}

func (t *tree) root() [32]byte {
	if t.leaves == 0 {
		return sha256.Sum256(nil)
	}
	height := bits.TrailingZeros(t.leaves)
	root := t.waiting[height]
	for height++; t.leaves>>height != 0; height++ {
		if t.leaves>>height&1 == 1 {
			root = nodeHash(&t.waiting[height], &root)
		}
	}
	return root
}

func leafHash(entry []byte, scratch *[smallLeaf]byte) [32]byte {
	if len(entry) < smallLeaf {
		scratch[0] = leafPrefix
		n := copy(scratch[1:], entry)
		return sha256.Sum256(scratch[:1+n])
	}
	return sha256.Sum256(append([]byte{leafPrefix}, entry...))
}

func nodeHash(left, right *[32]byte) [32]byte {
	var node [65]byte
	node[0] = nodePrefix
	copy(node[1:], left[:])
	copy(node[33:], right[:])
	return sha256.Sum256(node[:])
}
