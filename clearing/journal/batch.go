package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds of a batch. MaxBytes is the sum of the lengths of its entries;
// MaxMessage is what a message with that much in it can measure.
const (
	MaxEntries = 1000
	MaxBytes   = 512 << 10
	MaxMessage = headerSize + MaxEntries*lengthSize + MaxBytes
)

// Layout of a message, all integers big-endian:
//
//	0    version, 1
//	1    "TMJ"
//	4    shard, 2 bytes
//	6    number of entries, 2 bytes
//	8    epoch, 8 bytes
//	16   writer, 8 bytes
//	24   batch number, 8 bytes
//	32   number of the first entry, 8 bytes
//	40   directory version, 8 bytes
//	48   time, Unix milliseconds, 8 bytes
//	56   hash of the batch before, 32 bytes
//	88   Merkle root of the entries, 32 bytes
//	120  each entry: its length, 4 bytes, and its bytes
const (
	version    = 1
	headerSize = 120
	lengthSize = 4
)

const magic = "TMJ"

// Batch is one message of the stream: what one group commit made durable. A
// batch without entries is an epoch record: from it on, only its writer counts.
type Batch struct {
	Shard     uint16
	Epoch     uint64   // of the writer; one more with each takeover, from 1
	Writer    uint64   // drawn at random for each takeover, so that two writers never write the same bytes
	Number    uint64   // of the batch, contiguous within the shard, from 1
	First     uint64   // number of the first entry, contiguous within the shard, from 1
	Directory uint64   // version of the directory that the entries were decided under
	Time      int64    // Unix milliseconds, by the writer's clock
	Prev      [32]byte // Hash of the batch before; zero for the first
	Root      [32]byte // MerkleRoot of Entries
	Entries   [][]byte // canonical bytes of each entry, none empty
}

// Next returns the number of the entry that follows the batch.
func (b *Batch) Next() uint64 { return b.First + uint64(len(b.Entries)) }

// AppendTo appends the message of the batch to dst. The encoding is canonical: a
// batch has one, and ParseBatch refuses any other. The caller keeps to the bounds
// of CheckEntries, and fills in Root.
func (b *Batch) AppendTo(dst []byte) []byte {
	dst = b.appendHeader(dst)
	for _, e := range b.Entries {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(e)))
		dst = append(dst, e...)
	}
	return dst
}

func (b *Batch) appendHeader(dst []byte) []byte {
	dst = append(dst, version)
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint16(dst, b.Shard)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(b.Entries)))
	for _, n := range [...]uint64{b.Epoch, b.Writer, b.Number, b.First, b.Directory, uint64(b.Time)} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	dst = append(dst, b.Prev[:]...)
	return append(dst, b.Root[:]...)
}

// ErrBounds is a batch that may not be written: no entries, an empty entry, or
// more than MaxEntries or MaxBytes.
var ErrBounds = errors.New("journal: batch out of bounds")

// CheckEntries reports whether entries fit one batch: at least one, at most
// MaxEntries, none empty, MaxBytes in all.
func CheckEntries(entries [][]byte) error {
	if len(entries) == 0 || len(entries) > MaxEntries {
		return fmt.Errorf("%w: %d entries, want 1 to %d", ErrBounds, len(entries), MaxEntries)
	}
	total := 0
	for i, e := range entries {
		if len(e) == 0 {
			return fmt.Errorf("%w: entry %d is empty", ErrBounds, i)
		}
		if total += len(e); total > MaxBytes {
			return fmt.Errorf("%w: entry %d passes %d bytes", ErrBounds, i, MaxBytes)
		}
	}
	return nil
}

// ParseBatch reads a message. Entries alias data. Anything but what AppendTo
// makes of a batch within bounds is refused, and the error says at which offset.
// Hashes are read, not checked: that is a Chain's work.
func ParseBatch(data []byte) (Batch, error) {
	var b Batch
	if len(data) < headerSize {
		return b, fmt.Errorf("journal: batch at offset %d: ends inside the header of %d bytes", len(data), headerSize)
	}
	if data[0] != version {
		return b, fmt.Errorf("journal: batch at offset 0: format version %d, want %d", data[0], version)
	}
	if string(data[1:4]) != magic {
		return b, fmt.Errorf("journal: batch at offset 1: %q, want %q", data[1:4], magic)
	}
	b.Shard = binary.BigEndian.Uint16(data[4:])
	count := int(binary.BigEndian.Uint16(data[6:]))
	for i, n := range [...]*uint64{&b.Epoch, &b.Writer, &b.Number, &b.First, &b.Directory} {
		*n = binary.BigEndian.Uint64(data[8+8*i:])
	}
	b.Time = int64(binary.BigEndian.Uint64(data[48:]))
	copy(b.Prev[:], data[56:])
	copy(b.Root[:], data[88:])
	if count > MaxEntries {
		return b, fmt.Errorf("journal: batch at offset 6: %d entries, at most %d", count, MaxEntries)
	}
	if err := b.parseEntries(data, count); err != nil {
		return Batch{}, err
	}
	return b, nil
}

func (b *Batch) parseEntries(data []byte, count int) error {
	if count > 0 {
		b.Entries = make([][]byte, count)
	}
	at, total := headerSize, 0
	for i := range count {
		if len(data)-at < lengthSize {
			return fmt.Errorf("journal: batch at offset %d: ends before entry %d of %d", len(data), i, count)
		}
		n := int64(binary.BigEndian.Uint32(data[at:]))
		if n == 0 {
			return fmt.Errorf("journal: batch at offset %d: entry %d is empty", at, i)
		}
		if n > int64(MaxBytes-total) {
			return fmt.Errorf("journal: batch at offset %d: entry %d passes %d bytes of entries", at, i, MaxBytes)
		}
		if int64(len(data)-at-lengthSize) < n {
			return fmt.Errorf("journal: batch at offset %d: entry %d of %d bytes passes the end", at, i, n)
		}
		at += lengthSize
		b.Entries[i] = data[at : at+int(n) : at+int(n)]
		at, total = at+int(n), total+int(n)
	}
	if at != len(data) {
		return fmt.Errorf("journal: batch at offset %d: %d bytes behind the last entry", at, len(data)-at)
	}
	return nil
}

// Hash returns the SHA-256 of the header of a message: the next batch's Prev. The
// header holds the Merkle root and the count of the entries, so it stands for all
// of the message; and so a chain can be checked, and shown to an outsider, from
// 120 bytes a batch. Of data shorter than a header it is the SHA-256 of it all.
func Hash(message []byte) [32]byte {
	return sha256.Sum256(message[:min(len(message), headerSize)])
}
