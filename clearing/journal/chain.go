package journal

import (
	"fmt"
)

// Position is how far a chain was checked: the last message and the last batch
// that counted. The zero Position, with its shard, is the beginning.
type Position struct {
	Shard    uint16
	Sequence uint64   // of the last message in the stream, counted or not
	Epoch    uint64   // of the last writer that took over
	Writer   uint64   // who that is
	Number   uint64   // of the last batch that counted
	Next     uint64   // number of the next entry; 0 only at the beginning, and means 1
	Hash     [32]byte // Hash of the last batch that counted
}

func (p *Position) nextEntry() uint64 { return max(p.Next, 1) }

// ChainError is where a stream is not what its writers wrote.
type ChainError struct {
	Shard    uint16
	Sequence uint64 // of the message in the stream
	Batch    uint64 // number of the batch that was due there
	Want     string // what was expected
	Got      string // what is there
	Err      error  // the cause, or nil
}

// Error returns "journal: shard 0 at sequence 12, batch 11: want ..., got ...".
func (e *ChainError) Error() string {
	s := fmt.Sprintf("journal: shard %d at sequence %d, batch %d: want %s, got %s", e.Shard, e.Sequence, e.Batch, e.Want, e.Got)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *ChainError) Unwrap() error { return e.Err }

// Chain checks messages one behind the other. It reads no clock and no network:
// the writer, a standby and an auditor all check with it.
type Chain struct {
	at      Position
	ignored uint64
}

// NewChain returns a chain that goes on behind p.
func NewChain(p Position) *Chain { return &Chain{at: p} }

// Position returns how far the chain was checked.
func (c *Chain) Position() Position { return c.at }

// Ignored returns how many batches did not count, because their writer had been
// deposed before they got into the stream.
func (c *Chain) Ignored() uint64 { return c.ignored }

// Check takes the message at sequence seq as the next one. It tells whether the
// batch counts; one of an older epoch, behind a newer epoch record, does not. Any
// other batch that does not fit exactly behind the last is a *ChainError, and
// leaves the chain as it was. The entries alias message.
func (c *Chain) Check(seq uint64, message []byte) (b Batch, counts bool, err error) {
	if seq != c.at.Sequence+1 {
		return b, false, c.fail(seq, fmt.Sprintf("sequence %d", c.at.Sequence+1), fmt.Sprintf("%d", seq), nil)
	}
	if b, err = ParseBatch(message); err != nil {
		return b, false, c.fail(seq, "a batch", fmt.Sprintf("%d bytes of something else", len(message)), err)
	}
	if b.Shard != c.at.Shard {
		return b, false, c.fail(seq, fmt.Sprintf("shard %d", c.at.Shard), fmt.Sprintf("shard %d", b.Shard), nil)
	}
	if b.Epoch < c.at.Epoch {
		c.at.Sequence = seq
		c.ignored++
		return b, false, nil
	}
	if err := c.checkWriter(seq, &b); err != nil {
		return b, false, err
	}
	if err := c.checkLinks(seq, &b); err != nil {
		return b, false, err
	}
	c.advance(seq, &b, message)
	return b, true, nil
}

// checkWriter holds the rules of epochs: one more with an epoch record, which has
// no entries, and otherwise the same epoch and writer, with entries.
func (c *Chain) checkWriter(seq uint64, b *Batch) error {
	switch {
	case b.Epoch == c.at.Epoch+1:
		if len(b.Entries) != 0 {
			return c.fail(seq, fmt.Sprintf("a record of epoch %d without entries", b.Epoch), fmt.Sprintf("%d entries", len(b.Entries)), nil)
		}
	case b.Epoch != c.at.Epoch || b.Epoch == 0:
		return c.fail(seq, fmt.Sprintf("epoch %d or %d", max(c.at.Epoch, 1), c.at.Epoch+1), fmt.Sprintf("epoch %d", b.Epoch), nil)
	case b.Writer != c.at.Writer:
		return c.fail(seq, fmt.Sprintf("writer %016x of epoch %d", c.at.Writer, c.at.Epoch), fmt.Sprintf("writer %016x", b.Writer), nil)
	case len(b.Entries) == 0:
		return c.fail(seq, "entries", "none", nil)
	}
	return nil
}

func (c *Chain) checkLinks(seq uint64, b *Batch) error {
	switch {
	case b.Number != c.at.Number+1:
		return c.fail(seq, fmt.Sprintf("batch number %d", c.at.Number+1), fmt.Sprintf("%d", b.Number), nil)
	case b.First != c.at.nextEntry():
		return c.fail(seq, fmt.Sprintf("first entry %d", c.at.nextEntry()), fmt.Sprintf("%d", b.First), nil)
	case b.Prev != c.at.Hash:
		return c.fail(seq, fmt.Sprintf("previous hash %x", c.at.Hash), fmt.Sprintf("%x", b.Prev), nil)
	}
	if root := MerkleRoot(b.Entries); b.Root != root {
		return c.fail(seq, fmt.Sprintf("the Merkle root of its entries, %x", root), fmt.Sprintf("%x", b.Root), nil)
	}
	return nil
}

// advance moves the chain behind a batch that fits.
func (c *Chain) advance(seq uint64, b *Batch, message []byte) {
	c.at = Position{
		Shard: c.at.Shard, Sequence: seq, Epoch: b.Epoch, Writer: b.Writer,
		Number: b.Number, Next: b.Next(), Hash: Hash(message),
	}
}

func (c *Chain) fail(seq uint64, want, got string, cause error) error {
	return &ChainError{Shard: c.at.Shard, Sequence: seq, Batch: c.at.Number + 1, Want: want, Got: got, Err: cause}
}
