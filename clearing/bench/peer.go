//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"

	"github.com/tongma/tongma"
)

// peer is the program that the product is measured against: what a good engineer
// writes in an afternoon for this one task. A single writer with group commit on
// a plain file, a CRC for each batch, a book in memory with a limit check, repeats
// known by their id. It has no chain, no windows, no fees, no fencing, no standby
// and no other readers. Its records are as long as the product's entries, since
// they have the same facts to keep.
type peer struct {
	*grouper
	seal peerSeal
	book peerBook
	memo [2]int // bytes that a record of each kind has beside what the book needs
}

// peerSeal is what stands in front of a batch, by which damage is found.
type peerSeal interface {
	size() int          // of it, always the same; the length of the batch behind it comes first
	set(batch []byte)   // into the room in front of a batch
	again() peerSeal    // one that reads from the first batch on
	fits(b []byte) bool // whether it is that of a batch, which is read behind the last
}

// A record: kind, id, debtor, creditor, amount, and a memo of the length in front.
const (
	peerReserve = 0
	peerPost    = 1
	peerFixed   = 2 + 1 + 16 + 1 + 1 + 8 // length, kind, id, debtor, creditor, amount
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type peerAccount struct{ limit, position, reserved int64 }

type peerTransfer struct {
	debtor, creditor uint8
	posted           bool
	amount           int64
}

type peerBook struct {
	accounts  [banks]peerAccount
	transfers map[tongma.PaymentID]peerTransfer
}

func newPeerBook() peerBook {
	b := peerBook{transfers: map[tongma.PaymentID]peerTransfer{}}
	for i := range b.accounts {
		b.accounts[i].limit = math.MaxInt64 / 4
	}
	return b
}

var (
	errPeerLimit = errors.New("over the limit")
	errPeerState = errors.New("not reserved")
	errPeerOther = errors.New("exists, with another content")
)

// apply does what a record says, live and on replay; fresh is false for a repeat.
func (b *peerBook) apply(record []byte) (fresh bool, err error) {
	id := tongma.PaymentID(record[3:19])
	old, known := b.transfers[id]
	if record[2] == peerPost {
		if !known || old.posted {
			return false, map[bool]error{false: errPeerState}[known]
		}
		old.posted = true
		b.transfers[id] = old
		b.accounts[old.debtor].reserved -= old.amount
		b.accounts[old.debtor].position += old.amount
		b.accounts[old.creditor].position -= old.amount
		return true, nil
	}
	t := peerTransfer{debtor: record[19] % banks, creditor: record[20] % banks, amount: int64(binary.BigEndian.Uint64(record[21:]))}
	if known {
		if old.posted = false; old != t {
			return false, errPeerOther
		}
		return false, nil
	}
	a := &b.accounts[t.debtor]
	if a.position+a.reserved+t.amount > a.limit {
		return false, errPeerLimit
	}
	a.reserved += t.amount
	b.transfers[id] = t
	return true, nil
}

func openPeer(dir string) (contender, error) { return startPeer(dir, checksum{}) }

func startPeer(dir string, seal peerSeal) (contender, error) {
	g, err := startGrouper(filepath.Join(dir, "peer"))
	if err != nil {
		return nil, err
	}
	p := &peer{grouper: g, seal: seal, book: newPeerBook()}
	hold, post := entryBytes()
	p.memo = [2]int{max(len(hold)-peerFixed, 0), max(len(post)-peerFixed, 0)}
	go g.run(func(b []byte) []byte { return append(b, make([]byte, seal.size())...) }, p.take, seal.set)
	return p, nil
}

func (p *peer) take(batch []byte, c call) ([]byte, error) {
	fresh, err := p.book.apply(c.record)
	if fresh {
		batch = append(batch, c.record...)
	}
	return batch, err
}

// checksum is the seal of the bare peer: the length and a CRC-32C.
type checksum struct{}

func (checksum) size() int { return 8 }

func (checksum) set(batch []byte) {
	binary.BigEndian.PutUint32(batch, uint32(len(batch)-8))
	binary.BigEndian.PutUint32(batch[4:], crc32.Checksum(batch[8:], castagnoli))
}

func (s checksum) again() peerSeal { return s }

func (checksum) fits(b []byte) bool {
	return crc32.Checksum(b[8:], castagnoli) == binary.BigEndian.Uint32(b[4:])
}

func (p *peer) record(kind byte, n uint64) []byte {
	r := make([]byte, 0, peerFixed+p.memo[kind])
	r = binary.BigEndian.AppendUint16(r, uint16(cap(r)-2))
	id := paymentID(n)
	r = append(append(r, kind), id[:]...)
	r = binary.BigEndian.AppendUint64(append(r, byte((n+3)%banks), byte(n%banks)), n%5000+1)
	return r[:cap(r)]
}

func (p *peer) pay(n uint64) error {
	if err := p.put(p.record(peerReserve, n)); err != nil {
		return err
	}
	return p.put(p.record(peerPost, n))
}

// close reads the whole file again and compares the book that it gives.
func (p *peer) close(payments uint64) error {
	p.stop()
	again, err := replayPeer(p.file.Name(), p.seal.again())
	if err != nil {
		return err
	}
	if again.accounts != p.book.accounts || !maps.Equal(again.transfers, p.book.transfers) || uint64(len(again.transfers)) != payments {
		return fmt.Errorf("replay of the peer's file gives %d transfers %v, want %d %v", len(again.transfers), again.accounts, payments, p.book.accounts)
	}
	return p.file.Close()
}

func replayPeer(path string, seal peerSeal) (peerBook, error) {
	book := newPeerBook()
	f, err := os.Open(path)
	if err != nil {
		return book, err
	}
	defer f.Close()
	r, batch, size := bufio.NewReaderSize(f, 1<<20), []byte(nil), seal.size()
	for {
		batch = append(batch[:0], make([]byte, size)...)
		if _, err := io.ReadFull(r, batch); err == io.EOF {
			return book, nil
		} else if err != nil {
			return book, err
		}
		batch = append(batch, make([]byte, binary.BigEndian.Uint32(batch))...)
		body := batch[size:]
		if _, err := io.ReadFull(r, body); err != nil {
			return book, err
		}
		if !seal.fits(batch) {
			return book, errors.New("the peer's file is damaged")
		}
		for at := 0; at < len(body); at += 2 + int(binary.BigEndian.Uint16(body[at:])) {
			if fresh, err := book.apply(body[at:]); !fresh || err != nil {
				return book, fmt.Errorf("the peer's file holds a record that does not apply: %w", err)
			}
		}
	}
}
