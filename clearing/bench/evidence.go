//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/tongma/tongma/clearing/journal"
)

// evidence is the seal of a peer that writes as much evidence as the product does: a
// SHA-256 leaf of each record, the Merkle root of a batch, and in each header the hash
// of the one before. What the peer loses by it is the price of evidence, which the bare
// peer does not pay; the rest of the way to the product is the product's own.
type evidence struct {
	prev    [32]byte // hash of the last header that was written
	records [][]byte
}

// A header: the length of the batch behind it, the hash of the header before, and the
// Merkle root of the records.
const evidenceSize = 4 + 32 + 32

func openEvidence(dir string) (contender, error) { return startPeer(dir, &evidence{}) }

func (s *evidence) size() int { return evidenceSize }

func (s *evidence) set(batch []byte) {
	body := batch[evidenceSize:]
	binary.BigEndian.PutUint32(batch, uint32(len(body)))
	root := s.root(body)
	copy(batch[4:], s.prev[:])
	copy(batch[36:], root[:])
	s.prev = sha256.Sum256(batch[:evidenceSize])
}

func (s *evidence) root(body []byte) [32]byte {
	s.records = s.records[:0]
	for at := 0; at < len(body); {
		end := len(body)
		if at+2 <= end { // what is damaged may end anywhere
			end = min(end, at+2+int(binary.BigEndian.Uint16(body[at:])))
		}
		s.records = append(s.records, body[at:end])
		at = end
	}
	return journal.MerkleRoot(s.records)
}

// again checks what evidence wrote, from the first batch on.
func (s *evidence) again() peerSeal { return &evidence{} }

func (s *evidence) fits(batch []byte) bool {
	if [32]byte(batch[4:36]) != s.prev || [32]byte(batch[36:evidenceSize]) != s.root(batch[evidenceSize:]) {
		return false
	}
	s.prev = sha256.Sum256(batch[:evidenceSize])
	return true
}
